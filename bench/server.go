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

// server is a program that serves: apikeyd, a floor, or a proxy.
type server struct {
	*process.Process
	name         string // for messages
	management   string // URL without a slash at its end; "" for the others
	verification string
	grpc         string  // address; "": it does not speak that
	judges       *server // whom a proxy asks whether a request may go to the API; nil: it is none
	log          *os.File
}

// startServer starts apikeyd on a file, or on a database with a URL, with its default settings, but for the addresses and what is
// given here. As under a service manager, its log lines go to a file as JSON.
func (b *bench) startServer(ctx context.Context, database string, flags ...string) (*server, error) {
	if !strings.Contains(database, "://") {
		database = "sqlite:" + database
	}
	name := strings.Join(append([]string{"apikeyd"}, flags...), " ")
	return b.start(ctx, name, b.program, append([]string{"serve", "--database", database,
		"--listen", "127.0.0.1:0", "--verify-listen", "127.0.0.1:0"}, flags...)...)
}

// startFloor starts one of the floors, with an answer to give.
func (b *bench) startFloor(ctx context.Context, which string, answer []byte) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.work, "answer-"+which)
	if err := os.WriteFile(path, answer, 0o600); err != nil {
		return nil, err
	}
	return b.start(ctx, "floor", self, floorCommand, which, path)
}

// start starts a program that serves, and returns when it says that it is ready.
func (b *bench) start(ctx context.Context, name, path string, args ...string) (*server, error) {
	s, err := b.launch(name, path, args...)
	if err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// launch starts a program that serves. What it writes is in its log.
func (b *bench) launch(name, path string, args ...string) (_ *server, err error) {
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
	s.Process, err = process.Start(appended, environment(), path, args...)
	return s, err
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
				GRPCListen   string `json:"grpc_listen"`
			}
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "ready" {
				s.verification, s.grpc = "http://"+entry.VerifyListen, entry.GRPCListen
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

// isFloor reports whether the server is a floor, and so has neither metrics nor a management API.
func (s *server) isFloor() bool { return s.management == "" }

// judge returns the server that judges requests: itself, or the one that it asks.
func (s *server) judge() *server {
	if s.judges != nil {
		return s.judges
	}
	return s
}

// forgetLog empties the log, so that it does not fill the disk.
func (s *server) forgetLog() error { return s.judge().log.Truncate(0) }

// stop stops the server, then the one that it asks, and removes their logs.
func (s *server) stop() error {
	var errs []error
	if s.Process != nil {
		errs = append(errs, s.Process.Stop())
	}
	if s.judges != nil {
		errs = append(errs, s.judges.stop())
	}
	return errors.Join(append(errs, s.log.Close(), os.Remove(s.log.Name()))...)
}
