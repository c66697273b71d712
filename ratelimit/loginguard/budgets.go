package loginguard

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// A counter is one of those that a guess has in the Store.
type counter uint8

const (
	pair    counter = iota // guesses at an account from an address
	address                // guesses from an address
	wide                   // guesses at an account

	known  // whether a guess at an account from an address was right
	places // how many addresses became known to an account

	counters = iota
)

// budgets are those that can refuse a guess, in the order in which they are
// asked.
var budgets = [...]counter{pair, address, wide} //nolint:gochecknoglobals // immutable

// String returns what the budget is called in the Store, and, where a guess
// can be refused by it, in a refusal's Reason.
func (c counter) String() string {
	return [counters]string{ReasonPair, ReasonAddress, ReasonAccount, "known", "places"}[c]
}

const (
	// remembered is how long an address stays known after a success there, at
	// least; at most it is twice as long.
	remembered = 30 * 24 * time.Hour

	// maxPlaces is how many addresses become known to an account in that time.
	// Else one account, whose owner has many addresses, could fill the Store,
	// or crowd all others' out.
	maxPlaces = 30
)

// policies returns the counters' policies, complete.
func (cfg *Config) policies() (policies [counters]ratelimit.Policy, errs []error) {
	for _, b := range [...]struct {
		counter  counter
		field    string
		given    ratelimit.Policy
		fallback ratelimit.Policy
	}{
		{pair, "PerPair", cfg.PerPair, ratelimit.Policy{Limit: 5, Period: 15 * time.Minute, Backoff: time.Hour}},
		{address, "PerAddress", cfg.PerAddress, ratelimit.Policy{Limit: 60, Period: time.Hour}},
		{wide, "PerAccount", cfg.PerAccount, ratelimit.Policy{Limit: 100, Period: time.Hour}},
		{counter: known, fallback: ratelimit.Policy{Limit: 2, Period: 2 * remembered}},
		{counter: places, fallback: ratelimit.Policy{Limit: maxPlaces, Period: remembered}},
	} {
		p := b.given
		if p.Name != "" {
			errs = append(errs, fmt.Errorf("loginguard: %s.Name is %q, want none", b.field, p.Name))
		}
		if p.Backoff != 0 && b.counter != pair {
			errs = append(errs, fmt.Errorf("loginguard: %s.Backoff is %v, want 0, since others would wait with the one who guessed", b.field, p.Backoff))
			p.Backoff = 0
		}
		if reflect.ValueOf(p).IsZero() {
			p = b.fallback
		}
		p.Name = b.counter.String()
		p, err := p.Complete()
		for _, fault := range faults(err) {
			errs = append(errs, fmt.Errorf("loginguard: %s.%w", b.field, fault))
		}
		policies[b.counter] = p
	}
	return policies, errs
}

// faults returns what err joins.
func faults(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// checkStore says why the Store cannot count the policies, which are complete; a
// Limiter knows.
func checkStore(store ratelimit.Store, policies []ratelimit.Policy) error {
	policies = slices.Clone(policies)
	for i := range policies {
		if policies[i].Exact {
			policies[i].Burst = 0
		}
	}
	cfg := ratelimit.Config{Name: "login", Policies: policies, Store: store}
	if _, own := store.(*ratelimit.Memory); !own {
		cfg.MaxKeys = 1 // it will count nothing
	}
	_, err := ratelimit.New(cfg)
	return err
}

// A ledger is where guesses are counted, and where successes are remembered.
type ledger struct{ guesses, successes ratelimit.Store }

// newLedger returns one in this process. Successes have a memory of their own:
// they last so much longer than guesses that they would crowd these out.
func newLedger() (*ledger, error) {
	guesses, err := ratelimit.NewMemory(ratelimit.MemoryConfig{})
	if err != nil {
		return nil, err
	}
	successes, err := ratelimit.NewMemory(ratelimit.MemoryConfig{})
	if err != nil {
		return nil, err
	}
	return &ledger{guesses, successes}, nil
}

func (l *ledger) store(c counter) ratelimit.Store {
	if c >= known {
		return l.successes
	}
	return l.guesses
}
