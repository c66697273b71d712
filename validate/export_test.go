package validate

// Scan is scan, which no exported function shows unmixed.
func Scan(doc []byte, maxDepth, maxValues int) (depth, values, path int, exceeded string) {
	m := scan(doc, maxDepth, maxValues)
	return m.depth, m.values, m.path, m.exceeded
}

// The bounds that are not in Config.
const (
	MaxPath      = maxPath
	DepthCeiling = depthCeiling
)
