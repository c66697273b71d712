package ratelimit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// A plan is limits that a request must keep, ready to be asked.
type plan struct {
	policies []Policy // complete: with name and burst
	quotas   []quota
	shown    []string // their names as clients see them
	field    string   // RateLimit-Policy
	limits   []string // X-RateLimit-Limit
	causes   []report.Cause
	answers  []*answer // to who violates one of them alone
}

// newPlan returns the plan of valid policies for the limiter of that name.
func newPlan(name string, policies []Policy, m *Memory) *plan {
	p := &plan{policies: policies}
	for i := range policies {
		shown := policies[i].Name
		if name != "" {
			shown = name + "-" + shown
		}
		p.quotas = append(p.quotas, policies[i].quota(m.salt(name+":"+policies[i].Name)))
		p.shown = append(p.shown, shown)
		p.limits = append(p.limits, strconv.FormatInt(policies[i].Limit, 10))
		p.causes = append(p.causes, report.Cause(policies[i].String()))
		p.answers = append(p.answers, &answer{shown, problem.Render(exceeded(&Error{Violated: []string{shown}}))})
	}
	p.field = policyField(p.shown, policies)
	return p
}

// index returns which of the limits r is about.
func (p *plan) index(r *Result) int { return max(0, slices.Index(p.shown, r.Policy)) }

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

// planned returns the plan for a request's own policies.
func (l *Limiter) planned(policies []Policy) (*plan, error) {
	complete, errs := checkPolicies(policies)
	errs = append(errs, checkSet(complete, 0)...)
	if l.plainStore && slices.ContainsFunc(complete, func(p Policy) bool { return !p.plain() }) {
		errs = append(errs, errNotPlain)
	}
	if len(errs) > 0 {
		return nil, report.Causef("Plan returned policies that %v", errors.Join(errs...))
	}
	return newPlan(l.name, complete, l.memory), nil
}

var errNotPlain = errors.New("have a Burst, Exact or Backoff, want none with FromLimiter, whose stores know only a limit")

// plain reports whether a fixed window can stand for p.
func (p *Policy) plain() bool { return p.Burst == p.Limit && !p.Exact && p.Backoff == 0 }
