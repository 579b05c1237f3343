package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/apikeyd/apikeyd/bench/internal/process"
)

// measureStart measures how long a server with the large file takes from its start until it is ready, how much memory it
// then has in use, and how large the program is.
func measureStart(ctx context.Context, b *bench) ([]figure, error) {
	path, err := b.largeFile(ctx)
	if err != nil {
		return nil, err
	}
	ready := figure{What: fmt.Sprintf("from the start to ready, %s keys in the file", count(b.size.Keys)), Unit: "ms", Bound: bound{under, 1000}}
	idle := figure{What: "memory of the server in use then", Unit: "MB", Bound: bound{under, 40}}
	err = inTurn(ctx, b.size.Rounds, func() error {
		took, memory, err := b.startOnce(ctx, path)
		ready.Ours = append(ready.Ours, took.Seconds()*1e3)
		idle.Ours = append(idle.Ours, float64(memory)/1e6)
		return err
	})
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(b.program)
	if err != nil {
		return nil, err
	}
	binary := figure{What: "size of the release binary", Unit: "MB", Ours: []float64{float64(info.Size()) / 1e6}, Bound: bound{under, 45}}
	return []figure{ready, binary, idle}, nil
}

// startOnce starts a server and stops it again.
func (b *bench) startOnce(ctx context.Context, database string) (took time.Duration, memory int64, err error) {
	// A socket has a name before anybody listens on it, as a port that the system chooses has not. Its path must be short.
	dir, err := os.MkdirTemp("", "apikeyd-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	socket := filepath.Join(dir, "verify.sock")
	log, err := os.Create(filepath.Join(dir, "log.jsonl"))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	began := time.Now()
	p, err := process.Start(log, environment(), b.program, "serve", "--database", "sqlite:"+database,
		"--listen", "127.0.0.1:0", "--verify-listen", "unix:"+socket)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if err := askReady(ctx, socket, p); err != nil {
		text, readErr := os.ReadFile(log.Name())
		return 0, 0, errors.Join(fmt.Errorf("%w: %s", err, text), readErr)
	}
	took = time.Since(began)
	select {
	case <-time.After(b.size.Idle):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	memory, err = p.Memory()
	return took, memory, err
}

// askReady asks a server whether it is ready until it is.
func askReady(ctx context.Context, socket string, p *process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer c.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/readyz", nil)
	if err != nil {
		return err
	}
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		if _, err := do(c, r); err == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-p.Done():
			return errors.New("the server ended before it was ready")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
