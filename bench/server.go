package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/bench/internal/process"
)

// server is a program that serves: apikeyd, or the floor.
type server struct {
	*process.Process
	name         string // for messages
	management   string // URL without a slash at its end; "" for the floor
	verification string
	log          *os.File
}

// startServer starts apikeyd on a file, or on a database with a URL, with its default settings, but for the addresses and what is
// given here. As under a
// service manager, its log lines go to a file as JSON.
func (b *bench) startServer(ctx context.Context, database string, flags ...string) (*server, error) {
	if !strings.Contains(database, "://") {
		database = "sqlite:" + database
	}
	name := strings.Join(append([]string{"apikeyd"}, flags...), " ")
	return b.start(ctx, name, b.program, append([]string{"serve", "--database", database,
		"--listen", "127.0.0.1:0", "--verify-listen", "127.0.0.1:0"}, flags...)...)
}

// startFloor starts the floor of POST /v1/verify, with an answer to give.
func (b *bench) startFloor(ctx context.Context, answer []byte) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.work, "answer.json")
	if err := os.WriteFile(path, answer, 0o600); err != nil {
		return nil, err
	}
	return b.start(ctx, "floor", self, floorCommand, path)
}

// start starts a program that serves, and returns when it is ready.
func (b *bench) start(ctx context.Context, name, path string, args ...string) (_ *server, err error) {
	log, err := os.CreateTemp(b.work, "log-*.jsonl")
	if err != nil {
		return nil, err
	}
	s := &server{log: log, name: name}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	appended, err := os.OpenFile(log.Name(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, appended.Close()) }()
	if s.Process, err = process.Start(appended, environment(), path, args...); err != nil {
		return nil, err
	}
	return s, s.awaitReady(ctx)
}

// environment returns this process's environment without settings of apikeyd: it is measured with its defaults.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "APIKEYD_") })
}

const (
	readyTimeout = time.Minute
	logPoll      = 5 * time.Millisecond
)

// awaitReady waits for the line in the log that says where the server listens.
func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(logPoll)
	defer poll.Stop()
	for {
		text, err := os.ReadFile(s.log.Name())
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			var entry struct {
				Msg          string `json:"msg"`
				Listen       string `json:"listen"`
				VerifyListen string `json:"verify_listen"`
			}
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "ready" {
				s.verification = "http://" + entry.VerifyListen
				if entry.Listen != "" {
					s.management = "http://" + entry.Listen
				}
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-s.Done():
			return fmt.Errorf("the server ended before it was ready: %s", strings.TrimSpace(string(text)))
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w", ctx.Err())
		}
	}
}

// isFloor reports whether the server is the floor, and so has neither metrics nor a management API.
func (s *server) isFloor() bool { return s.management == "" }

// forgetLog empties the log, so that it does not fill the disk.
func (s *server) forgetLog() error { return s.log.Truncate(0) }

// stop stops the server and removes its log.
func (s *server) stop() error {
	var errs []error
	if s.Process != nil {
		errs = append(errs, s.Process.Stop())
	}
	return errors.Join(append(errs, s.log.Close(), os.Remove(s.log.Name()))...)
}
