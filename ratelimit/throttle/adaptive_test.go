package throttle_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit/throttle"
)

// A load keeps clients asking for permits; each request takes as long as
// latency says.
type load struct {
	th      *throttle.Throttle
	latency atomic.Pointer[func() time.Duration]
	stop    chan struct{}
}

func newLoad(t *testing.T, cfg throttle.Config, clients int, latency func() time.Duration) *load {
	t.Helper()
	l := &load{th: mustNew(t, cfg), stop: make(chan struct{})}
	l.latency.Store(&latency)
	for range clients {
		go func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				if p, err := l.th.Acquire(t.Context(), "", false); err == nil {
					time.Sleep((*l.latency.Load())())
					p.Release()
				} else {
					time.Sleep(5 * time.Millisecond)
				}
			}
		}()
	}
	return l
}

// run lets d pass and returns the limit at its end. It must have been within
// bounds all the time.
func (l *load) run(t *testing.T, d, latency time.Duration, low, high int) int {
	t.Helper()
	if latency > 0 {
		f := func() time.Duration { return latency }
		l.latency.Store(&f)
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got := l.th.Stats().Limit; got < low || got > high {
			t.Fatalf("limit = %d, want %d to %d", got, low, high)
		}
	}
	return l.th.Stats().Limit
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	time.Sleep(time.Hour)
	checkIdle(t, l.th)
}

func TestAdaptiveFollowsLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoad(t, throttle.Config{Limit: 40, Adaptive: true, Min: 10}, 60, func() time.Duration { return 10 * time.Millisecond })
		if got := l.run(t, 5*time.Second, 0, 40, 40); got != 40 {
			t.Errorf("limit at steady latency = %d, want 40", got)
		}
		if got := l.run(t, 5*time.Second, 14*time.Millisecond, 40, 40); got != 40 {
			t.Errorf("limit at a latency within tolerance = %d, want 40", got)
		}
		half := l.run(t, 2*time.Second, 80*time.Millisecond, 15, 40)
		if half > 30 {
			t.Errorf("limit after 2 s of 8 times the latency = %d, want at most 30", half)
		}
		if got := l.run(t, 10*time.Second, 0, 10, half); got != 10 {
			t.Errorf("limit after 12 s of 8 times the latency = %d, want 10", got)
		}
		some := l.run(t, 3*time.Second, 10*time.Millisecond, 10, 30)
		if some < 15 {
			t.Errorf("limit 3 s after latency recovered = %d, want at least 15", some)
		}
		if got := l.run(t, 10*time.Second, 0, some, 40); got != 40 {
			t.Errorf("limit 13 s after latency recovered = %d, want 40", got)
		}
		l.end(t)
	})
}

// The formula step by step: each batch of ten requests is a window.
func TestAdaptiveFormula(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		batch := batches(t)
		for range 10 {
			batch(300 * time.Millisecond)
		}
		for i, step := range []struct {
			latency time.Duration
			want    int
		}{
			{300, 100},
			{449, 100}, // within tolerance
			{600, 97},  // long = 300.4, gradient = 0.751, next = 85.1
			{600, 94},
			{2400, 86}, // counts as four times long; gradient = 0.5
			{9000, 79}, // so does this
			{300, 81},  // gradient = 1, next = 81.1 + 9
			{300, 83},
			{300, 85},
		} {
			if got := batch(step.latency * time.Millisecond); got != step.want {
				t.Errorf("step %d: limit = %d, want %d", i, got, step.want)
			}
		}
	})
}

// The first windows count alike: the very first may be slow or quick by chance.
func TestAdaptiveWarmsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		batch := batches(t)
		batch(300 * time.Millisecond)
		for range 9 {
			batch(600 * time.Millisecond)
		}
		if got := batch(900 * time.Millisecond); got != 100 {
			t.Errorf("limit = %d, want 100", got)
		}
	})
}

// What was slow at first is not normal for long.
func TestAdaptiveForgetsSlowness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		batch := batches(t)
		for range 10 {
			batch(3 * time.Second)
		}
		if got := batch(1500 * time.Millisecond); got != 100 {
			t.Errorf("limit = %d, want 100", got)
		}
		for range 40 {
			batch(300 * time.Millisecond)
		}
		if got := batch(1500 * time.Millisecond); got != 93 {
			t.Errorf("limit = %d, want 93", got)
		}
	})
}

// batches returns a function that makes a batch of ten requests, which are a
// window if they take long enough, and returns the limit after it. Half of it
// is in use besides.
func batches(t *testing.T) func(latency time.Duration) int {
	t.Helper()
	th := mustNew(t, throttle.Config{Limit: 100, Adaptive: true, Min: 1})
	for range 50 {
		mustAcquire(t, th, "", false)
	}
	return func(latency time.Duration) int {
		permits := make([]*throttle.Permit, 0, 10)
		for range 10 {
			permits = append(permits, mustAcquire(t, th, "", false))
		}
		time.Sleep(latency)
		for _, p := range permits {
			p.Release()
		}
		return th.Stats().Limit
	}
}

// One in ten requests is slow without end: that is not overload.
func TestAdaptiveIgnoresOutliers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoad(t, throttle.Config{Limit: 50, Adaptive: true, Min: 1}, 50, func() time.Duration { return 10 * time.Millisecond })
		l.run(t, 5*time.Second, 0, 50, 50)
		var n atomic.Int64
		slow := func() time.Duration {
			if n.Add(1)%10 == 0 {
				return 200 * time.Millisecond
			}
			return 10 * time.Millisecond
		}
		l.latency.Store(&slow)
		if got := l.run(t, 20*time.Second, 0, 45, 50); got < 45 {
			t.Errorf("limit = %d, want 45 at least", got)
		}
		l.end(t)
	})
}

// Nothing is learned about a limit that is not used.
func TestAdaptiveIgnoresIdleness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoad(t, throttle.Config{Limit: 100, Adaptive: true, Min: 1}, 40, func() time.Duration { return 10 * time.Millisecond })
		l.run(t, 5*time.Second, 0, 100, 100)
		l.run(t, 20*time.Second, time.Second, 100, 100)
		l.end(t)
	})
}

// Time in the queue is no latency, and a limit that rises lets waiters in.
func TestAdaptiveWithQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := throttle.Config{Limit: 20, Adaptive: true, Min: 8, Queue: 200, MaxWait: time.Minute}
		l := newLoad(t, cfg, 60, func() time.Duration { return 10 * time.Millisecond })
		l.run(t, 3*time.Second, 0, 20, 20)
		if got := l.run(t, 10*time.Second, 80*time.Millisecond, 8, 20); got != 8 {
			t.Errorf("limit = %d, want 8", got)
		}
		l.run(t, 15*time.Second, 10*time.Millisecond, 8, 20)
		if s := l.th.Stats(); s.Limit != 20 || s.InFlight != 20 || s.Waiting != 40 {
			t.Errorf("Stats = %+v, want limit and in flight 20, 40 waiting", s)
		}
		l.end(t)
	})
}
