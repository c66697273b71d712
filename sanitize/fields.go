package sanitize

import (
	"fmt"
	"strings"
)

// A rule is a place in the tree of all Fields patterns.
type rule struct {
	policy   Policy           // nil: no pattern ends here
	children map[string]*rule // by unescaped token
	any      *rule            // the child for the token *
}

func (r *rule) add(pattern string, p Policy) error {
	if !validPattern(pattern) {
		return fmt.Errorf("sanitize: Fields[%q] is no JSON pointer, want one such as \"/items/*/note\"", pattern)
	}
	at := r
	if pattern != "" {
		for token := range strings.SplitSeq(pattern[1:], "/") {
			at = at.child(strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
		}
	}
	at.policy = p
	return nil
}

// validPattern reports whether p has the syntax of a JSON pointer (RFC 6901
// section 3).
func validPattern(p string) bool {
	if p != "" && p[0] != '/' {
		return false
	}
	for i := range len(p) {
		if p[i] == '~' && (i+1 == len(p) || p[i+1] != '0' && p[i+1] != '1') {
			return false
		}
	}
	return true
}

func (r *rule) child(token string) *rule {
	if token == "*" {
		if r.any == nil {
			r.any = new(rule)
		}
		return r.any
	}
	if r.children == nil {
		r.children = make(map[string]*rule)
	}
	if r.children[token] == nil {
		r.children[token] = new(rule)
	}
	return r.children[token]
}

// A track follows a document through the tree: for each open container it
// knows the rules that fit it, most exact first. They are never more than
// there are patterns, however the document looks. Nil follows nothing.
type track struct {
	rules []*rule // those of the open containers, one run behind the other
	runs  []int   // where in rules each container's run begins
	here  []*rule // those of the value at hand
}

// step goes to the member or element named by token in the innermost container.
func (t *track) step(token []byte) {
	if t == nil {
		return
	}
	t.here = t.here[:0]
	for _, r := range t.rules[t.runs[len(t.runs)-1]:] {
		if c := r.children[string(token)]; c != nil {
			t.here = append(t.here, c)
		}
		if r.any != nil {
			t.here = append(t.here, r.any)
		}
	}
}

// open makes the value at hand the innermost container.
func (t *track) open() {
	if t == nil {
		return
	}
	t.runs = append(t.runs, len(t.rules))
	t.rules = append(t.rules, t.here...)
}

func (t *track) close() {
	if t == nil {
		return
	}
	last := len(t.runs) - 1
	t.rules, t.runs = t.rules[:t.runs[last]], t.runs[:last]
}

// policy is that of the string at hand.
func (t *track) policy() Policy {
	if t != nil {
		for _, r := range t.here {
			if r.policy != nil {
				return r.policy
			}
		}
	}
	return Text
}
