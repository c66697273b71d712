package strictjson

// A quick reads the JSON that nearly all senders write: no white space, no
// escapes, whole numbers. It says no more than "I know it all": for anything
// else, wrong or merely unusual, it gives up, and encoding/json and scan decide.
// A fuzz target holds it to what these say.
type quick struct {
	raw []byte
	at  int
}

// next reports whether c comes next, and steps over it.
func (q *quick) next(c byte) bool {
	if q.at < len(q.raw) && q.raw[q.at] == c {
		q.at++
		return true
	}
	return false
}

func (q *quick) object(depth int, o *Object) bool {
	if depth > maxDepth || !q.next('{') {
		return false
	}
	if q.next('}') {
		return true
	}
	for o.n < inline {
		from := q.at + 1
		if !q.text() {
			return false
		}
		name := q.raw[from : q.at-1]
		if o.again(name) || !q.next(':') {
			return false
		}
		from = q.at
		if !q.value(depth + 1) {
			return false
		}
		o.add(member{name, q.raw[from:q.at]})
		if q.next('}') {
			return true
		}
		if !q.next(',') {
			return false
		}
	}
	return false
}

func (q *quick) array(depth int) bool {
	if depth > maxDepth || !q.next('[') {
		return false
	}
	if q.next(']') {
		return true
	}
	for q.value(depth + 1) {
		if q.next(']') {
			return true
		}
		if !q.next(',') {
			return false
		}
	}
	return false
}

func (q *quick) value(depth int) bool {
	if q.at >= len(q.raw) {
		return false
	}
	switch c := q.raw[q.at]; c {
	case '"':
		return q.text()
	case '{':
		if q.at+1 < len(q.raw) && q.raw[q.at+1] == '}' && depth <= maxDepth {
			q.at += 2
			return true
		}
		var inner Object
		return q.object(depth, &inner)
	case '[':
		return q.array(depth)
	case 't':
		return q.word("true")
	case 'f':
		return q.word("false")
	default:
		return '1' <= c && c <= '9' && q.digits()
	}
}

func (q *quick) word(w string) bool {
	if len(q.raw)-q.at < len(w) || string(q.raw[q.at:q.at+len(w)]) != w {
		return false
	}
	q.at += len(w)
	return true
}

func (q *quick) digits() bool {
	for ; q.at < len(q.raw); q.at++ {
		switch c := q.raw[q.at]; {
		case '0' <= c && c <= '9':
		default:
			return c == ',' || c == '}' || c == ']'
		}
	}
	return false
}

func (q *quick) text() bool {
	if !q.next('"') {
		return false
	}
	for i := q.at; i < len(q.raw); i++ {
		switch c := q.raw[i]; {
		case c == '"':
			q.at = i + 1
			return true
		case c < ' ' || c == '\\':
			return false
		}
	}
	return false
}
