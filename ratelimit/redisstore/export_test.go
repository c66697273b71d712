package redisstore

// Script is what the server runs.
var Script = script

// Use makes s run another script.
func (s *Store) Use(script string) { s.use(script) }
