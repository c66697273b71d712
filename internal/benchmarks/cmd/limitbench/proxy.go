package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy makes a Redis stand further away: a reply arrives that much later
// than it would. It delays each connection by itself, and counts round trips. On
// one connection a reply also waits for those before, which do not concern
// go-redis: it has one command on the way at a time.
type proxy struct {
	addr  string
	trips atomic.Int64

	to       string
	delay    time.Duration
	ctx      context.Context //nolint:containedctx // ends with the proxy
	cancel   context.CancelFunc
	listener net.Listener
	running  sync.WaitGroup
}

// newProxy returns a proxy before the server at that address. Call close when
// done.
func newProxy(to string, delay time.Duration) (*proxy, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, err
	}
	p := &proxy{addr: l.Addr().String(), to: to, delay: delay, ctx: ctx, cancel: cancel, listener: l}
	p.running.Go(p.serve)
	return p, nil
}

// close ends all connections.
func (p *proxy) close() {
	p.cancel()
	_ = p.listener.Close() // nothing to do about it
	p.running.Wait()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		var d net.Dialer
		server, err := d.DialContext(p.ctx, "tcp", p.to)
		if err != nil {
			_ = client.Close() // the client will notice
			continue
		}
		hangUp := func() { _, _ = client.Close(), server.Close() }
		context.AfterFunc(p.ctx, hangUp)
		var asked atomic.Bool
		p.running.Go(func() {
			defer hangUp()
			forward(server, client, func() bool { asked.Store(true); return true })
		})
		p.running.Go(func() {
			defer hangUp()
			forward(client, server, func() bool {
				if asked.Swap(false) {
					p.trips.Add(1)
				}
				return p.wait()
			})
		})
	}
}

// forward passes on what arrives if before says so, until either side ends.
func forward(to, from net.Conn, before func() bool) {
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if !before() {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait reports whether the proxy still runs after the delay.
func (p *proxy) wait() bool {
	t := time.NewTimer(p.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
