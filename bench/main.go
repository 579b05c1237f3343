// Bench measures what docs/performance.md claims: each figure beside a floor, the least work that could do the same,
// taken in the same run and in turn with it, because a machine that others use drifts by more than what is to be shown.
//
//	go run ./bench                    every row, about a quarter of an hour
//	go run ./bench -short             small sizes, under a minute: does everything still run?
//	go run ./bench -rows verify,list  some rows
//	go run ./bench -write             every row, and the results into docs/performance.md
//
// It measures the release binary, as `make build` makes it, from outside: over loopback, with wrk as the load. Only what
// cannot be seen from there, the cost of one check and the memory of one cached key, is measured in this process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	rows    string
	short   bool
	size    size
	dir     string
	program string
	write   bool
	json    string
	strict  bool
	limit   time.Duration
}

// document is where -write puts the results, from the root of the repository.
const document = "docs/performance.md"

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == floorCommand {
		return serveFloor(ctx, args[1:], stdout)
	}
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	chosen, err := chooseRows(o.rows)
	if err != nil {
		return err
	}
	if o.write && (o.short || len(chosen) < len(rows)) {
		return errors.New("-write is for the results of a whole run: without -short and -rows")
	}
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	r, err := measure(ctx, o, chosen, stderr)
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, r.text())
	if o.json != "" {
		if err := r.writeJSON(o.json); err != nil {
			return err
		}
	}
	if o.write {
		root, err := repository(ctx)
		if err != nil {
			return err
		}
		if err := r.writeDocument(root); err != nil {
			return err
		}
	}
	if missed := r.missed(); o.strict && missed > 0 {
		return fmt.Errorf("%d figures are not what is promised", missed)
	}
	return nil
}

func parseOptions(args []string, stderr io.Writer) (o options, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintf(stderr, "Usage: go run ./bench [flags], in the root of the repository\n\nRows:\n")
		for _, r := range rows {
			fmt.Fprintf(stderr, "  %-8s %s\n", r.name, r.what)
		}
		fmt.Fprintf(stderr, "\nFlags:\n")
		f.PrintDefaults()
	}
	f.StringVar(&o.rows, "rows", "", "measure these rows, with commas between them, instead of all")
	f.BoolVar(&o.short, "short", false, "small sizes and short runs: to see that it runs, not how fast")
	keys := f.Int64("keys", 0, fmt.Sprintf("keys in the large file (default %d); one in ten is in one organization", full.Keys))
	rounds := f.Int("rounds", 0, fmt.Sprintf("how often each is measured in turn (default %d)", full.Rounds))
	load := f.Duration("duration", 0, fmt.Sprintf("how long a run under load takes (default %v)", full.Load))
	f.StringVar(&o.dir, "dir", filepath.Join(cache, "apikeyd-bench"),
		"where the large file is kept between runs (2 GB); what is written to meanwhile is there too")
	f.StringVar(&o.program, "server", "", "the apikeyd to measure, instead of one that make build makes")
	f.BoolVar(&o.write, "write", false, "write the results into "+document)
	f.StringVar(&o.json, "json", "", "write every round to this file")
	f.BoolVar(&o.strict, "strict", false, "exit with 1 where a figure is not what is promised")
	f.DurationVar(&o.limit, "timeout", time.Hour, "give up after this")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag; try -help", f.Arg(0))
	}
	o.size = full
	if o.short {
		o.size = short
	}
	o.size.override(*keys, *rounds, *load)
	return o, o.size.check()
}

// chooseRows returns the rows that are named in a list, all where it is empty.
func chooseRows(list string) ([]row, error) {
	if list == "" {
		return rows, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q; try -help", name)
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}
