package introspect_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/introspect"
)

// TestRemembers: an answer holds for CacheTTL and no longer than its token.
func TestRemembers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		edits object
		cfg   func(*introspect.Config)
		asked []time.Duration // at which of the seconds
	}{
		{"by default", nil, nil, seconds(0, 30, 60)},
		{"longer", nil, func(c *introspect.Config) { c.CacheTTL = 45 * time.Second }, seconds(0, 45)},
		{"until the token expires", object{"exp": 10}, nil, seconds(0, 10, 11, 12, 13, 14)},
		{"not at all", nil, func(c *introspect.Config) { c.NoCache = true }, everySecond(70)},
		{"without exp", object{"exp": nil}, nil, seconds(0, 30, 60)},
		{"a refusal", object{"active": false}, nil, seconds(0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65)},
		{"a refusal by our own checks", object{"aud": "other"}, nil, seconds(0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65)},
		{"a refusal, for less", object{"active": false}, func(c *introspect.Config) { c.CacheTTL = 20 * time.Second }, seconds(0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65)},
		{
			"a refusal, for much less",
			object{"active": false},
			func(c *introspect.Config) { c.CacheTTL = 35 * time.Second / 10 },
			seconds(0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 68),
		},
		{"a refusal, not at all", object{"active": false}, func(c *introspect.Config) { c.NoCache = true }, everySecond(70)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				answer, last := good().with(tt.edits), 70
				if exp, ok := tt.edits["exp"].(int); ok {
					answer["exp"], last = start.Unix()+int64(exp), exp+5
				}
				var asked []time.Duration
				s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
					asked = append(asked, time.Since(start))
					says(http.StatusOK, answer.json())(w, r)
				})
				cfg := s.config()
				if tt.cfg != nil {
					tt.cfg(&cfg)
				}
				h := newHouse(t, newIntrospector(t, cfg))
				for range last {
					h.get(opaque)
					time.Sleep(time.Second)
				}
				if fmt.Sprint(asked) != fmt.Sprint(tt.asked) {
					t.Errorf("asked at %v, want %v", asked, tt.asked)
				}
			})
		})
	}
}

func seconds(all ...int) []time.Duration {
	durations := make([]time.Duration, 0, len(all))
	for _, n := range all {
		durations = append(durations, time.Duration(n)*time.Second)
	}
	return durations
}

func everySecond(n int) []time.Duration {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return seconds(all...)
}

// TestRevoked: a revoked token is refused when its answer is forgotten, and a
// token that is remembered is refused when it expires.
func TestRevoked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, says(http.StatusOK, good().json()))
		h := newHouse(t, newIntrospector(t, s.config()))
		want := func(at string, status int) {
			t.Helper()
			if w := h.get(opaque); w.Code != status {
				t.Errorf("%s: status = %d, want %d", at, w.Code, status)
			}
		}
		want("first", 200)
		s.set(says(http.StatusOK, `{"active":false}`))
		time.Sleep(29 * time.Second)
		want("within CacheTTL", 200)
		time.Sleep(time.Second)
		want("after it", 401)
		s.set(says(http.StatusOK, good().with(object{"exp": time.Now().Unix() + 12}).json()))
		time.Sleep(4 * time.Second)
		want("within the refusal's time", 401)
		time.Sleep(time.Second)
		want("after it", 200)
		s.set(says(http.StatusServiceUnavailable, ""))
		time.Sleep(6 * time.Second)
		want("while the endpoint is down", 200)
		time.Sleep(time.Second)
		want("when it expired", 503)
	})
}

// TestFlood: tokens that are used once cannot fill the memory, nor drive out
// those that are in use.
func TestFlood(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		edits object
		flood int
		every int // how seldom the token in use may be used
	}{
		{"refused tokens", object{"active": false}, 100_000, 10_000},
		{"good tokens", nil, 20_000, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const size = 1000
			cfg := newServer(t, says(http.StatusOK, "")).config()
			cfg.CacheSize, cfg.CacheTTL = size, 5*time.Minute
			i := newIntrospector(t, cfg)
			asked, usual, junk := 0, good().json(), good().with(tt.edits).json()
			i.Answer(func(token string) string {
				if token != opaque {
					return junk
				}
				asked++
				return usual
			})
			ask := func(token string) { _, _ = i.Authenticate(request("Bearer " + token)) }
			before := heap()
			most := 0
			for n := range tt.flood {
				if n%tt.every == 0 {
					ask(opaque)
				}
				ask(fmt.Sprintf("junk%d", rand.Uint64()))
				known, refused, flights := i.Remembered()
				most = max(most, known, refused)
				if flights != 0 {
					t.Fatalf("%d questions are left", flights)
				}
			}
			if most > size {
				t.Errorf("%d tokens were remembered, want at most %d", most, size)
			}
			if grown := int64(heap()) - int64(before); grown > 16<<20 {
				t.Errorf("%d MiB more memory after %d tokens", grown>>20, tt.flood)
			}
			if asked != 1 {
				t.Errorf("the token in use was asked about %d times, want 1", asked)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestOneQuestion: however many requests carry a token at a time, it is asked
// about once, also if the first of them gives up.
func TestOneQuestion(t *testing.T) {
	t.Parallel()
	for _, noCache := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(2 * time.Second)
				says(http.StatusOK, good().json())(w, r)
			})
			cfg := s.config()
			cfg.NoCache = noCache
			h := newHouse(t, newIntrospector(t, cfg))
			ctx, cancel := context.WithCancel(t.Context())
			start := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, request("Bearer "+opaque).WithContext(ctx))
				if w.Code != http.StatusServiceUnavailable {
					t.Errorf("who gave up got %d, want 503", w.Code)
				}
				if got := time.Since(start); got != time.Second {
					t.Errorf("who gave up waited %v, want 1s", got)
				}
			})
			synctest.Wait() // it is the first
			for range 50 {
				wg.Go(func() {
					if w := h.get(opaque); w.Code != http.StatusOK {
						t.Errorf("status = %d, want 200", w.Code)
					}
					if got := time.Since(start); got != 2*time.Second {
						t.Errorf("waited %v, want 2s", got)
					}
				})
			}
			time.Sleep(time.Second)
			cancel()
			wg.Wait()
			if n := s.count(""); n != 1 {
				t.Errorf("asked %d times, want 1", n)
			}
		})
	}
}

// TestDead: an endpoint that does not answer makes few requests wait, and is
// asked seldom; when it answers again, so do we.
func TestDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		s := newServer(t, hang)
		var out bytes.Buffer
		cfg := s.config()
		cfg.Logger = slog.New(slog.NewTextHandler(&out, nil))
		h := newHouse(t, newIntrospector(t, cfg))

		start := time.Now()
		if w := h.get("first"); w.Code != 503 || time.Since(start) != 3*time.Second {
			t.Errorf("first: status = %d after %v, want 503 after 3s", w.Code, time.Since(start))
		}
		// Ten requests each 100 ms, for a minute.
		var waited, slow atomic.Int64
		var wg sync.WaitGroup
		for n := range 600 {
			for k := range 10 {
				wg.Go(func() {
					begun := time.Now()
					if w := h.get(fmt.Sprintf("token-%d-%d", n, k)); w.Code != 503 {
						t.Errorf("status = %d, want 503", w.Code)
					}
					waited.Add(int64(time.Since(begun)))
					if time.Since(begun) > 0 {
						slow.Add(1)
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
		// A probe takes 3 s, and 1 s passes before the next.
		if n := s.count(""); n < 15 || n > 17 {
			t.Errorf("asked %d times in a minute, want about 16", n)
		}
		if n := slow.Load(); n > 16 {
			t.Errorf("%d of 6000 requests waited, want 16 at most: %v in all", n, time.Duration(waited.Load()))
		}

		s.set(knows(map[string]object{opaque: good()}))
		time.Sleep(2 * time.Second)
		for range 3 {
			if w := h.get(opaque); w.Code != 200 {
				t.Errorf("status = %d, want 200: %s", w.Code, h.detail())
			}
			if w := h.get("unknown"); w.Code != 401 {
				t.Errorf("status = %d, want 401: %s", w.Code, h.detail())
			}
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], `level=ERROR msg="introspect: the endpoint is down" issuer=https://id.example.com detail="the introspection endpoint: no answer in time"`) ||
			!strings.Contains(lines[1], `level=INFO msg="introspect: the endpoint answers again"`) {
			t.Errorf("logged:\n%s", out.String())
		}
	})
}

// TestDown: which failures stop the questions about other tokens, and which may
// be due to one token and do not.
func TestDown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		down   bool
	}{
		{"400", says(400, ""), false},
		{"401", says(401, ""), true},
		{"403", says(403, ""), false},
		{"404", says(404, ""), false},
		{"413", says(413, ""), false},
		{"429", says(429, ""), true},
		{"500", says(500, ""), false},
		{"502", says(502, ""), true},
		{"503", says(503, ""), true},
		{"504", says(504, ""), true},
		{"no JSON", says(200, "<html>"), false},
		{"too large", says(200, strings.Repeat(" ", 1<<20)), false},
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
					if r.PostFormValue("token") == "poison" {
						tt.answer(w, r)
						return
					}
					says(http.StatusOK, good().json())(w, r)
				})
				h := newHouse(t, newIntrospector(t, s.config()))
				if w := h.get("remembered"); w.Code != 200 {
					t.Errorf("status = %d, want 200", w.Code)
				}
				time.Sleep(3 * time.Second) // else the answer speaks for the endpoint
				if w := h.get("poison"); w.Code != 503 {
					t.Errorf("status = %d, want 503", w.Code)
				}
				time.Sleep(900 * time.Millisecond)
				if w := h.get("remembered"); w.Code != 200 {
					t.Errorf("remembered: status = %d, want 200", w.Code)
				}
				w := h.get("another")
				if got := w.Code == 503; got != tt.down {
					t.Errorf("another: status = %d, down = %t", w.Code, tt.down)
				}
				if tt.down && w.Header().Get("Retry-After") != "1" {
					t.Errorf("Retry-After = %q, want 1", w.Header().Get("Retry-After"))
				}
				time.Sleep(100 * time.Millisecond)
				if w := h.get("third"); w.Code != 200 {
					t.Errorf("after 1 s: status = %d, want 200: %s", w.Code, h.detail())
				}
			})
		})
	}
}

// TestOneSlowAnswer: while others are answered, a question that is not says
// nothing of the endpoint.
func TestOneSlowAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.PostFormValue("token") == "slow" {
				<-r.Context().Done()
				return
			}
			says(http.StatusOK, good().json())(w, r)
		})
		h := newHouse(t, newIntrospector(t, s.config()))
		var wg sync.WaitGroup
		wg.Go(func() {
			if w := h.get("slow"); w.Code != 503 {
				t.Errorf("slow: status = %d, want 503", w.Code)
			}
		})
		for n := range 50 {
			time.Sleep(100 * time.Millisecond)
			if w := h.get(fmt.Sprintf("token-%d", n)); w.Code != 200 {
				t.Errorf("token %d: status = %d, want 200: %s", n, w.Code, h.detail())
			}
		}
		wg.Wait()
	})
}

// TestTurns: 32 questions at a time, 1024 with those that wait, and nobody waits
// for more than 5 s.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			says(http.StatusOK, good().json())(w, r)
		})
		i := newIntrospector(t, s.config())
		var wg sync.WaitGroup
		var mu sync.Mutex
		outcomes := make(map[string]int)
		start := time.Now()
		for n := range 1100 {
			wg.Go(func() {
				_, err := i.Authenticate(request(fmt.Sprintf("Bearer token-%d", n)))
				mu.Lock()
				defer mu.Unlock()
				outcomes[fmt.Sprintf("%v after %v", err, time.Since(start))]++
			})
			synctest.Wait()
		}
		if _, _, flights := i.Remembered(); flights != 1024 {
			t.Errorf("%d questions, want 1024", flights)
		}
		wg.Wait()
		busy := "auth: unavailable: too many tokens are being asked about after "
		if most.Load() != 32 || outcomes["<nil> after 1s"] != 32 || outcomes["<nil> after 2s"] != 32 ||
			outcomes[busy+"0s"] != 1100-1024 || outcomes[busy+"2s"]+outcomes["<nil> after 3s"] != 1024-64 || outcomes["<nil> after 3s"] > 32 {
			t.Errorf("%d at a time: %v", most.Load(), outcomes)
		}
		time.Sleep(10 * time.Second)
		if _, err := i.Authenticate(request("Bearer later")); err != nil {
			t.Errorf("that others had to wait counts as a failure: %v", err)
		}
	})
}

// TestTurnsWhileDown: questions that wait for their turn when the endpoint goes
// down are not asked, and say nothing of the endpoint.
func TestTurnsWhileDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		h := newHouse(t, newIntrospector(t, s.config()))
		var wg sync.WaitGroup
		start := time.Now()
		batch := func(name string, n int, want time.Duration) {
			for k := range n {
				wg.Go(func() {
					if w := h.get(fmt.Sprintf("%s-%d", name, k)); w.Code != 503 || time.Since(start) != want {
						t.Errorf("%s: status = %d after %v, want 503 after %v", name, w.Code, time.Since(start), want)
					}
				})
			}
		}
		batch("asked", 32, 3*time.Second)
		time.Sleep(2 * time.Second)
		batch("waiting", 8, 3*time.Second)
		time.Sleep(1500 * time.Millisecond)
		wg.Wait()
		if w := h.get("later"); w.Code != 503 || time.Since(start) != 3500*time.Millisecond {
			t.Errorf("later: status = %d after %v, want 503 at once", w.Code, time.Since(start))
		}
		if n := s.count(""); n != 32 {
			t.Errorf("asked %d times, want 32", n)
		}
	})
}

// TestStaleConnection: an endpoint that closes a connection which was idle is
// asked again.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := false
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.PostFormValue("token") == "second" && !hung {
				hung = true
				panic(http.ErrAbortHandler) // as if it had closed it a moment before
			}
			says(http.StatusOK, good().json())(w, r)
		})
		h := newHouse(t, newIntrospector(t, s.config()))
		for _, token := range []string{"first", "second"} {
			if w := h.get(token); w.Code != 200 {
				t.Errorf("%s: status = %d, want 200: %s", token, w.Code, h.detail())
			}
		}
		if s.count("second") != 2 || s.dials() != 2 {
			t.Errorf("asked %d times over %d connections, want 2 over 2", s.count("second"), s.dials())
		}
	})
}

// TestClose: it ends what is under way, and what is remembered stays.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.PostFormValue("token") == "slow" {
				<-r.Context().Done()
				return
			}
			says(http.StatusOK, good().json())(w, r)
		})
		i := newIntrospector(t, s.config())
		h := newHouse(t, i)
		h.get(opaque)
		var wg sync.WaitGroup
		start := time.Now()
		wg.Go(func() {
			if w := h.get("slow"); w.Code != 503 || time.Since(start) > 0 {
				t.Errorf("under way: status = %d after %v, want 503 at once", w.Code, time.Since(start))
			}
		})
		synctest.Wait()
		for range 2 {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		if w := h.get(opaque); w.Code != 200 {
			t.Errorf("remembered: status = %d, want 200", w.Code)
		}
		for n := range 20 {
			if w := h.get(fmt.Sprintf("new-%d", n)); w.Code != 503 || h.detail() != "the Introspector is closed" {
				t.Errorf("new: status = %d, %s, want 503", w.Code, h.detail())
			}
		}
	})
}

// Whoever sends tokens that the endpoint chokes on does not stop the others: it
// is not down while it answers them.
func TestChokingTokensDoNotStopOthers(t *testing.T) {
	t.Parallel()
	for _, choke := range []http.HandlerFunc{says(502, ""), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.PostFormValue("token"), "choke") {
					choke(w, r)
					return
				}
				says(http.StatusOK, good().json())(w, r)
			})
			h := newHouse(t, newIntrospector(t, s.config()))
			for i := range 300 { // half a minute
				if w := h.get(fmt.Sprint("honest", i)); w.Code != http.StatusOK {
					t.Fatalf("honest caller %d: status = %d, want 200: %s", i, w.Code, h.detail())
				}
				if w := h.get(fmt.Sprint("choke", i)); w.Code != http.StatusServiceUnavailable {
					t.Fatalf("choking token %d: status = %d, want 503", i, w.Code)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}
