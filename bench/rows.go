package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/apikeyd/apikeyd/bench/internal/wrk"
)

// row is a promise of docs/performance.md, and how it is measured.
type row struct {
	name    string
	what    string
	measure func(context.Context, *bench) ([]figure, error)
	load    bool // needs wrk
	nginx   bool // needs that, too
}

var rows = []row{
	{name: "cached", what: "a check of a key in the cache, without HTTP", measure: measureCached},
	{name: "middleware", what: "a check in the memory of a program with the Go middleware", measure: measureMiddleware},
	{name: "verify", what: "POST /v1/verify under load, against a handler that does nothing", measure: measureVerify, load: true},
	{name: "unknown", what: "the same, with 10 % of the tokens unknown", measure: measureUnknown, load: true},
	{name: "authorize", what: "GET /v1/authorize under load, against a handler that always allows", measure: measureAuthorize, load: true},
	{name: "nginx", what: "an API behind nginx that asks about each request, against asking that handler", measure: measureNginx, load: true, nginx: true},
	{name: "grpc", what: "Check by gRPC, against a server that says OK at once", measure: measureGRPC},
	{name: "limited", what: "POST /v1/verify of keys with a limit, against the same without", measure: measureLimited, load: true},
	{name: "limitedtogether", what: "requests counted in a Valkey or Redis, against round trips of the same client", measure: measureLimitedTogether},
	{name: "miss", what: "a check of a key that is not in the cache, against the query alone", measure: measureMiss},
	{name: "list", what: "a page of a long list, against a page of a short one", measure: measureList},
	{name: "create", what: "creates by 64 clients, against single durable inserts", measure: measureCreate, load: true},
	{name: "delete", what: "deletes with three nodes, against single rows on the same PostgreSQL", measure: measureDelete},
	{name: "node", what: "POST /v1/verify on one node of three, against one that is alone on SQLite", measure: measureNode, load: true},
	{name: "clustermiss", what: "a check of a key that is not in the cache, against the query alone on PostgreSQL", measure: measureClusterMiss},
	{name: "clustercreate", what: "creates by 64 clients, against the same inserts on PostgreSQL", measure: measureClusterCreate, load: true},
	{name: "organization", what: "deletion of an organization with many keys, with three nodes", measure: measureOrganization},
	{name: "crowd", what: "statements of nodes that nobody asks", measure: measureCrowd},
	{name: "memory", what: "memory for each cached key", measure: measureMemory},
	{name: "start", what: "from the start to ready; size of binary and of the idle process", measure: measureStart},
}

// bench is what the rows are given.
type bench struct {
	size     size
	dir      string // for files that live from one run to the next
	work     string // for those that do not; on the same file system
	program  string // apikeyd, as a file
	progress func(format string, args ...any)
}

// measure measures the rows.
func measure(ctx context.Context, o options, chosen []row, progress io.Writer) (_ *report, err error) {
	b := &bench{size: o.size}
	began := time.Now()
	b.progress = func(format string, args ...any) {
		fmt.Fprintf(progress, "%6.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	if b.dir, err = filepath.Abs(o.dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, err
	}
	if b.work, err = os.MkdirTemp(b.dir, "work-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	m, err := describeMachine(ctx, b.dir)
	if err != nil {
		return nil, err
	}
	if m.Wrk, err = findTools(ctx, chosen); err != nil {
		return nil, err
	}
	if b.program, err = b.findProgram(ctx, o.program); err != nil {
		return nil, err
	}
	result := &report{Machine: m, Size: o.size, Began: began.UTC()}
	for _, r := range chosen {
		b.progress("%s: %s", r.name, r.what)
		figures, err := r.measure(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		result.Rows = append(result.Rows, measured{r.name, r.what, figures})
	}
	result.Took = time.Since(began)
	b.progress("done")
	return result, nil
}

// findTools makes sure that the programs that rows need are there, before any is measured. It returns the version of wrk, "" where
// nobody needs it.
func findTools(ctx context.Context, chosen []row) (version string, err error) {
	if slices.ContainsFunc(chosen, func(r row) bool { return r.nginx }) {
		if _, err := findNginx(); err != nil {
			return "", err
		}
	}
	if slices.ContainsFunc(chosen, func(r row) bool { return r.load }) {
		return wrk.Find(ctx)
	}
	return "", nil
}
