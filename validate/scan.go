package validate

import "bytes"

// A measure is what a scan found out about a document.
type measure struct {
	depth  int // of the deepest object or array; 0 for a scalar
	values int // members and elements
	path   int // bytes of the member names on the longest way to a value

	// exceeded is the reason of the limit that the document goes beyond, and
	// offset where it does; "" if it keeps them.
	exceeded string
	offset   int
}

// scan measures a document, without allocating and before anything is decoded.
//
// It knows just enough of JSON to tell strings from structure. For a document
// that is not JSON what it says is worthless, which does no harm: it can only
// refuse, or leave the matter to the decoder.
func scan(doc []byte, maxDepth, maxValues int) (m measure) {
	var names [depthCeiling + 1]int // bytes of the current member's name, at each depth
	var depth, name, path int
	filled := true // something stands in the current object or array
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; c {
		case ' ', '\t', '\r', '\n':
			continue
		case '"':
			end := stringEnd(doc, i+1)
			name = end - i - 1
			i = end
		case ':':
			path += name - names[depth]
			names[depth] = name
			m.path = max(m.path, path)
		case '{', '[':
			if depth == maxDepth {
				m.exceeded, m.offset = ReasonDepth, i
				return m
			}
			depth++
			m.depth = max(m.depth, depth)
			filled = false
			continue
		case '}', ']':
			if depth == 0 {
				return m // not JSON
			}
			if filled {
				m.values++
			}
			path -= names[depth]
			names[depth] = 0
			depth--
		case ',':
			m.values++
		}
		filled = true
		if m.values > maxValues {
			m.exceeded, m.offset = ReasonValues, i
			return m
		}
	}
	return m
}

// stringEnd returns the index of the quotation mark that ends the string which
// begins at i, or of the last byte if there is none.
func stringEnd(doc []byte, i int) int {
	quote := -1
	for i < len(doc) {
		if quote < i { // not searched for again at each escape: that would be quadratic
			q := bytes.IndexByte(doc[i:], '"')
			if q < 0 {
				break
			}
			quote = i + q
		}
		escape := bytes.IndexByte(doc[i:quote], '\\')
		if escape < 0 {
			return quote
		}
		i += escape + 2 // behind what the backslash escapes
	}
	return len(doc) - 1
}
