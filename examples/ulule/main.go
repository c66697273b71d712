// Command ulule counts requests with a driver of ulule/limiter, for services
// that have one already. ratelimit/redisstore asks Redis less often, and is
// exact where a driver lets a client have its quota twice around the end of a
// window.
//
//	go run -C examples ./ulule -redis 127.0.0.1:6379
package main

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
	driver "github.com/ulule/limiter/v3/drivers/store/redis"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func main() {
	addr := flag.String("http", "127.0.0.1:8080", "address to listen on")
	redisAddr := flag.String("redis", "127.0.0.1:6379", "address of a Redis")
	flag.Parse()
	rdb := redis.NewClient(&redis.Options{Addr: *redisAddr, ContextTimeoutEnabled: true})
	h, err := handler(rdb, "ulule", slog.Default())
	if err == nil {
		fmt.Printf("Ten requests a minute: curl -i http://%s/\n", *addr)
		server := &http.Server{Addr: *addr, Handler: h, ReadHeaderTimeout: 5 * time.Second}
		err = server.ListenAndServe()
	}
	fmt.Fprintln(os.Stderr, "ulule:", err)
	os.Exit(1)
}

// handler lets each address ask ten times a minute, whatever the instance. The
// driver sends its scripts when it is made: it wants Redis to be there.
func handler(rdb *redis.Client, prefix string, log *slog.Logger) (http.Handler, error) {
	store, err := driver.NewStoreWithOptions(rdb, limiter.StoreOptions{Prefix: prefix})
	if err != nil {
		return nil, err
	}
	limit, err := ratelimit.New(ratelimit.Config{
		Name: "api", Limits: []string{"10-M"}, Store: ratelimit.FromLimiter(store), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	return limit.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "hello")
	})), nil
}
