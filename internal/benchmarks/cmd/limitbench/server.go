package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/redis/go-redis/v9"
)

var errNoBinary = errors.New("there is no redis-server in the PATH")

// startRedis starts a redis-server that keeps nothing on disk. Call stop when
// done.
func startRedis() (addr string, stop func(), err error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, errNoBinary
	}
	for range 3 { // somebody may take the port in between
		if addr, stop, err = startRedisOnce(binary); err == nil {
			return addr, stop, nil
		}
	}
	return "", nil, err
}

func startRedisOnce(binary string) (addr string, stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return "", nil, err
	}
	addr = l.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	err = errors.Join(err, l.Close())
	if err != nil {
		cancel()
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "limitbench")
	if err != nil {
		cancel()
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", dir) //nolint:gosec // ours
	if err := cmd.Start(); err != nil {
		cancel()
		return "", nil, errors.Join(err, os.Remove(dir))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // killed
	}()
	stop = func() {
		cancel()
		<-ended
		_ = os.RemoveAll(dir) // nothing to do about it
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()
	for range 100 {
		if rdb.Ping(ctx).Err() == nil {
			return addr, stop, nil
		}
		select {
		case <-ended:
			stop()
			return "", nil, errors.New("redis-server does not start")
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return "", nil, fmt.Errorf("redis-server does not answer at %s", addr)
}
