package ratelimit

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// A plan is limits that a request must keep, ready to be asked.
type plan struct {
	policies    []Policy // complete: with name and burst
	quotas      []quota
	shown       []string // their names as clients see them
	fields      []fields
	policyField string
	limits      []string // X-RateLimit-Limit
	causes      []report.Cause
	answers     []*problem.Rendered // to who violates one of them alone
	given       []Policy            // by Config.Plan, nil of others
}

// newPlan returns the plan of valid policies for the limiter of that name.
func newPlan(name string, policies []Policy, m *Memory) *plan {
	p := &plan{policies: policies}
	for i := range policies {
		shown := policies[i].Name
		if name != "" {
			shown = name + "-" + shown
		}
		p.quotas = append(p.quotas, m.quota(&policies[i], name))
		p.shown = append(p.shown, shown)
		p.limits = append(p.limits, strconv.FormatInt(policies[i].Limit, 10))
		p.causes = append(p.causes, report.Cause(policies[i].String()))
		p.answers = append(p.answers, problem.Render(exceeded(&Error{Violated: []string{shown}})))
	}
	p.policyField = policyField(p.shown, policies)
	p.fields = make([]fields, len(policies))
	return p
}

// checkPolicies returns the policies complete; the faults begin with which one.
func checkPolicies(policies []Policy) (complete []Policy, errs []error) {
	for i, p := range policies {
		full, faults := p.complete()
		for _, err := range faults {
			errs = append(errs, fmt.Errorf("[%d].%w", i, err))
		}
		complete = append(complete, full)
	}
	return complete, errs
}

// checkSet finds what is wrong with policies that are right one by one.
func checkSet(policies []Policy, maxCost int64) (errs []error) {
	if len(policies) > maxPolicies {
		errs = append(errs, fmt.Errorf("are %d limits, want at most %d", len(policies), maxPolicies))
	}
	for i, p := range policies {
		if p.Name != "" && slices.ContainsFunc(policies[:i], func(q Policy) bool { return q.Name == p.Name }) {
			errs = append(errs, fmt.Errorf("have two limits called %q, want one, or Policies with names", p.Name))
		}
		if p.Burst > 0 && maxCost > p.Burst {
			errs = append(errs, fmt.Errorf("have %q, which never admits MaxCost, %d, want a Burst of that or more", p.Name, maxCost))
		}
	}
	return errs
}

// plans are those that requests had lately, by the hash of their policies.
type plans struct {
	known atomic.Pointer[map[uint64]*plan]
	mu    sync.Mutex
}

const maxPlans = 256

// planned returns the plan for a request's own policies.
func (l *Limiter) planned(policies []Policy) (*plan, error) {
	var h maphash.Hash
	h.SetSeed(l.memory.seed)
	for i := range policies {
		p := &policies[i]
		maphash.WriteComparable(&h, p.values())
	}
	sum := h.Sum64()
	known := l.plans.known.Load()
	if known != nil {
		if p := (*known)[sum]; p != nil && slices.EqualFunc(p.given, policies, func(a, b Policy) bool { return a.values() == b.values() }) {
			return p, nil
		}
	}
	complete, errs := checkPolicies(policies)
	errs = append(errs, checkSet(complete, 0)...)
	if l.plainStore && slices.ContainsFunc(complete, func(p Policy) bool { return !p.plain() }) {
		errs = append(errs, errNotPlain)
	}
	for i := range policies {
		if policies[i].Name == "" {
			errs = append(errs, fmt.Errorf(`[%d].Name is "", want one that no other plan has`, i))
		}
	}
	if len(errs) > 0 {
		texts := make([]string, len(errs))
		for i, err := range errs {
			texts[i] = err.Error()
		}
		return nil, report.Causef("Plan's policies: %s", strings.Join(texts, "; "))
	}
	p := newPlan(l.name, complete, l.memory)
	p.given = slices.Clone(policies)
	l.plans.add(sum, p)
	return p, nil
}

// add keeps p. Where there are ever new plans they are forgotten all at once.
func (s *plans) add(sum uint64, p *plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := make(map[uint64]*plan)
	if known := s.known.Load(); known != nil && len(*known) < maxPlans {
		maps.Copy(m, *known)
	}
	m[sum] = p
	s.known.Store(&m)
}

// values are the fields of a policy, to compare.
type values struct {
	name            string
	limit, burst    int64
	period, backoff time.Duration
	exact           bool
}

func (p *Policy) values() values {
	return values{p.Name, p.Limit, p.Burst, p.Period, p.Backoff, p.Exact}
}

var errNotPlain = errors.New("have a Burst, Exact or Backoff, want none with FromLimiter, whose stores know only a limit")

// plain reports whether a fixed window can stand for p.
func (p *Policy) plain() bool { return p.Burst == p.Limit && !p.Exact && p.Backoff == 0 }
