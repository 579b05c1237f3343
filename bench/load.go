package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/bench/internal/wrk"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/token"
)

// way is how tokens are sent.
type way int

const (
	byVerify    way = iota // by POST /v1/verify
	byAuthorize            // by GET /v1/authorize, as a proxy asks
	byRequest              // with a request to an API that a proxy stands in front of
	byCheck                // by gRPC, as Envoy asks
)

// requested is what a request to an API is for.
const requested = "/accounts/7"

// mix describes the tokens that are sent.
type mix struct {
	what    string
	way     way
	unknown int  // how many tokens there are that belong to no key; every tenth request has one
	once    bool // none of them is to come a second time
}

// tokens is a mix in files, one token on each line.
type tokens struct {
	mix
	known                  int64  // how many tokens there are that belong to a key, with the ids from 1
	knownPath, unknownPath string // unknownPath is "" where all are known
}

func (b *bench) writeTokens(m mix) (tokens, error) {
	t := tokens{mix: m, known: b.size.Few, knownPath: filepath.Join(b.work, "known.txt")}
	text := make([]byte, 0, b.size.Few*64)
	for id := int64(1); id <= b.size.Few; id++ {
		known := keyfile.Token(id)
		text = append(append(text, known[:]...), '\n')
	}
	if err := os.WriteFile(t.knownPath, text, 0o600); err != nil {
		return t, err
	}
	if m.unknown == 0 {
		return t, nil
	}
	t.unknownPath = filepath.Join(b.work, "unknown.txt")
	return t, t.writeUnknown()
}

// writeUnknown writes new tokens that belong to no key.
func (t *tokens) writeUnknown() error {
	text := make([]byte, 0, t.unknown*64)
	for range t.unknown {
		text = append(append(text, token.New(token.DefaultPrefix).Reveal()...), '\n')
	}
	return os.WriteFile(t.unknownPath, text, 0o600)
}

// putUnderLoad sends checks to a server for a while.
func putUnderLoad(ctx context.Context, s *server, t tokens, d time.Duration) (wrk.Result, error) {
	if t.once {
		if err := t.writeUnknown(); err != nil {
			return wrk.Result{}, err
		}
	}
	r, err := send(ctx, s, t, d)
	if err != nil {
		return r, err
	}
	return r, s.forgetLog()
}

// send sends tokens to a server in their way.
func send(ctx context.Context, s *server, t tokens, d time.Duration) (wrk.Result, error) {
	switch t.way {
	case byAuthorize:
		return wrk.Get(ctx, s.verification+"/v1/authorize", t.knownPath, d,
			"X-Forwarded-Method", http.MethodGet, "X-Forwarded-Uri", requested)
	case byRequest:
		return wrk.Get(ctx, s.verification+requested, t.knownPath, d)
	case byCheck:
		return checkTogether(ctx, s.grpc, t.known, d)
	default:
		return wrk.Verify(ctx, s.verification+"/v1/verify", t.knownPath, t.unknownPath, d)
	}
}

// measureLoad puts a server under load, makes sure that it did what it was asked, and adds that to a run.
func measureLoad(ctx context.Context, s *server, t tokens, d time.Duration, run *checkRun) error {
	before, err := s.judge().counters(ctx)
	if err != nil {
		return err
	}
	cpuBefore, err := s.CPU()
	if err != nil {
		return err
	}
	r, err := putUnderLoad(ctx, s, t, d)
	if err != nil {
		return err
	}
	cpuAfter, err := s.CPU()
	if err != nil {
		return err
	}
	after, err := s.judge().counters(ctx)
	if err != nil {
		return err
	}
	if !s.judge().isFloor() {
		if err := t.hold(after.since(before), r.Requests); err != nil {
			return err
		}
	}
	run.add(r, cpuAfter-cpuBefore)
	return nil
}

// hold compares what a server has counted with the answers that it was asked for.
func (m mix) hold(c counters, answers int64) error {
	// When it stops, wrk drops what is under way: the server has answered a little more than wrk has counted.
	all := c.valid + c.notFound
	if all < answers || all > answers+wrk.Connections {
		return fmt.Errorf("the server has checked %d tokens, and %d answers came", all, answers)
	}
	want := int64(0)
	if m.unknown > 0 {
		want = all / 10
	}
	if off := c.notFound - want; off < -all/100 || off > all/100 {
		return fmt.Errorf("of %d tokens %d were unknown, want %d", all, c.notFound, want)
	}
	switch {
	case m.once && c.misses < c.notFound*99/100:
		return fmt.Errorf("of %d unknown tokens only %d were looked up: they have come before", c.notFound, c.misses)
	case !m.once && c.misses > int64(m.unknown)+all/100: // each unknown one may be new once
		return fmt.Errorf("of %d tokens %d were not in the cache", all, c.misses)
	}
	return nil
}

// checkAll checks the keys with the ids from 1 to n, so that all of them are in the cache.
func checkAll(ctx context.Context, url string, n int64) error {
	v, err := client.NewVerifier(url)
	if err != nil {
		return err
	}
	defer v.CloseIdleConnections()
	for first := int64(1); first <= n; first += api.MaxBatch {
		questions := make([]api.VerifyRequest, min(api.MaxBatch, n-first+1))
		for i := range questions {
			text := keyfile.Token(first + int64(i))
			questions[i].Key = string(text[:])
		}
		answers, err := v.VerifyBatch(ctx, questions)
		if err != nil {
			return err
		}
		for i, a := range answers {
			if !a.Valid {
				return fmt.Errorf("key %d is %s", first+int64(i), a.Code)
			}
		}
	}
	return nil
}
