package redisstore

// Use makes s run other scripts.
func (s *Store) Use(edit func(plain int, script string) string) {
	all := scripts(script)
	for n := range all {
		all[n] = edit(n, all[n])
	}
	s.use(all)
}

// ScriptOfPlain is the script for so many plain policies.
func ScriptOfPlain(n int) string { return scripts(script)[n] }
