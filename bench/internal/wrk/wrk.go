// Package wrk puts load on an HTTP server with the tool of that name, https://github.com/wg/wrk. It is written in C and
// known to be quick; a load generator in Go would share too much with what it measures.
package wrk

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Connections is how many connections are kept busy: each sends its next request when it has the answer to the one
// before.
const Connections = 64

// threads is how many threads wrk uses. It needs less than half of what a server needs.
func threads() int { return max(1, runtime.NumCPU()/2) }

//go:embed report.lua
var report string

//go:embed verify.lua
var verify string

//go:embed get.lua
var get string

//go:embed create.lua
var create string

// Result is what came of a run.
type Result struct {
	Requests   int64 `json:"requests"` // that were answered
	DurationUS int64 `json:"duration_us"`
	P50US      int64 `json:"p50_us"` // half of the answers came within so many microseconds
	P99US      int64 `json:"p99_us"`

	// Faults: connections and requests that failed, and answers with a status of 400 and above.
	Connect int64 `json:"connect"`
	Read    int64 `json:"read"`
	Write   int64 `json:"write"`
	Status  int64 `json:"status"`
	Timeout int64 `json:"timeout"`
}

// PerSecond returns how many requests were answered in a second.
func (r Result) PerSecond() float64 { return float64(r.Requests) / r.Duration().Seconds() }

// Duration returns how long requests were sent.
func (r Result) Duration() time.Duration { return time.Duration(r.DurationUS) * time.Microsecond }

// P99 returns how long the slowest request in a hundred took.
func (r Result) P99() time.Duration { return time.Duration(r.P99US) * time.Microsecond }

// Verify sends the tokens in a file, one on each line, to url, which is that of POST /v1/verify. Where unknown is not "",
// one in ten is taken from that file instead. Both begin anew at their end.
func Verify(ctx context.Context, url, known, unknown string, d time.Duration) (Result, error) {
	args := []string{strconv.Itoa(threads()), known}
	if unknown != "" {
		args = append(args, unknown)
	}
	return run(ctx, verify, url, d, args...)
}

// Get asks url with the tokens in a file as bearers, one on each line, beginning anew at its end. headers are name and value of
// what is sent as well, by turns.
func Get(ctx context.Context, url, tokens string, d time.Duration, headers ...string) (Result, error) {
	return run(ctx, get, url, d, append([]string{strconv.Itoa(threads()), tokens}, headers...)...)
}

// Create creates keys in an organization at url, which is that of POST /v1/api-keys.
func Create(ctx context.Context, url, token string, organizationID int64, d time.Duration) (Result, error) {
	return run(ctx, create, url, d, token, strconv.FormatInt(organizationID, 10))
}

func run(ctx context.Context, script, url string, d time.Duration, args ...string) (_ Result, err error) {
	dir, err := os.MkdirTemp("", "apikeyd-bench-wrk-")
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "script.lua")
	if err := os.WriteFile(path, []byte(report+"\n"+script), 0o600); err != nil {
		return Result{}, err
	}
	// wrk counts whole seconds; a shorter run is ended by the signal on which it reports as well.
	whole := max(1, int64((d+time.Second-1)/time.Second))
	cmd := exec.CommandContext(ctx, "wrk", append([]string{
		"-t", strconv.Itoa(threads()), "-c", strconv.Itoa(Connections), "-d", strconv.FormatInt(whole, 10) + "s",
		"--timeout", "10s", "-s", path, url, "--"}, args...)...)
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Start(); err != nil {
		return Result{}, err
	}
	if d < time.Duration(whole)*time.Second {
		interrupt := time.AfterFunc(d, func() { _ = cmd.Process.Signal(os.Interrupt) }) // it may have ended
		defer interrupt.Stop()
	}
	if err := cmd.Wait(); ctx.Err() != nil {
		return Result{}, ctx.Err()
	} else if err != nil {
		return Result{}, fmt.Errorf("wrk: %w: %s", err, strings.TrimSpace(faults.String()))
	}
	return parse(out.String())
}

// parse reads the line that report.lua writes.
func parse(out string) (r Result, err error) {
	for line := range strings.Lines(out) {
		text, ok := strings.CutPrefix(line, "result ")
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return r, fmt.Errorf("read what wrk says: %w", err)
		}
		if r.Requests == 0 || r.Connect+r.Read+r.Write+r.Status+r.Timeout > 0 {
			return r, fmt.Errorf("wrk says that the run failed: %s", strings.TrimSpace(text))
		}
		return r, nil
	}
	return r, fmt.Errorf("wrk gave no result: %s", strings.TrimSpace(out))
}
