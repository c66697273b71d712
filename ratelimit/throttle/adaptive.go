package throttle

import (
	"math"
	"time"
)

// A gradient moves a limit by how latency changes; the type comment of
// [Throttle] says how.
type gradient struct {
	min, max float64
	limit    float64
	long     float64 // latency in nanoseconds, 0 before the first window ended
	windows  float64 // that ended, up to warmUp

	// The window.
	began int64
	n     float64
	sum   float64
	peak  int64 // the most that were in flight
}

const (
	window     = 250 * time.Millisecond
	minSamples = 10
	warmUp     = 10   // windows of which long is the plain mean, until it is worth something
	longTerm   = 1200 // windows that long remembers: 5 minutes
	forgetful  = 0.95 // what is left of long per window when latency is back to normal
	tolerance  = 1.5  // how much latency may rise
	steepest   = 0.5  // gradient
	outlier    = 4    // times long is what a sample counts at most; steepest is reached before
	smoothing  = 0.2
)

// add adds a request to the window, and ends it when it is long enough: then
// limit may have changed.
func (g *gradient) add(now, latency, inFlight int64) (ended bool) {
	sample := float64(max(latency, 1))
	if g.long > 0 {
		sample = min(sample, outlier*g.long)
	}
	g.n++
	g.sum += sample
	g.peak = max(g.peak, inFlight)
	if g.n < minSamples || now-g.began < int64(window) {
		return false
	}
	g.update(g.sum/g.n, float64(g.peak))
	g.began, g.n, g.sum, g.peak = now, 0, 0, 0
	return true
}

func (g *gradient) update(short, peak float64) {
	weight := 1.0 / longTerm
	if g.windows < warmUp {
		g.windows++
		weight = 1 / g.windows
	}
	g.long += (short - g.long) * weight
	if short < g.long/2 {
		g.long *= forgetful
	}
	if peak < g.limit/2 {
		return
	}
	slope := max(steepest, min(1, tolerance*g.long/short))
	next := g.limit*slope + math.Sqrt(g.limit)
	g.limit = max(g.min, min(g.max, (1-smoothing)*g.limit+smoothing*next))
}
