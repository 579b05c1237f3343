package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the floors, which are processes of their own, be this program, as they are of bench.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == floorCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestShort measures small sizes, to see that everything still runs. Rows that need wrk are not among them, because it
// is not everywhere where tests run; `go run ./bench -short` has them all.
func TestShort(t *testing.T) {
	program := filepath.Join(t.TempDir(), "apikeyd")
	build := exec.CommandContext(t.Context(), "go", "build", "-race=false", "-o", program, "../cmd/apikeyd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build apikeyd: %v\n%s", err, out)
	}
	dir := t.TempDir()
	result := filepath.Join(t.TempDir(), "result.json")
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"-short", "-rows", "cached,middleware,grpc,limitedtogether,miss,list,delete,clustermiss,organization,crowd,memory,start",
		"-server", program, "-dir", dir, "-json", result}, &stdout, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	text, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 12 || r.Machine.Commit == "" || r.Machine.CPU == "" || r.Machine.FileSystem == "" || r.Machine.SQLite == "" {
		t.Errorf("report = %+v", r)
	}
	for _, row := range r.Rows {
		if len(row.Figures) == 0 {
			t.Errorf("%s: no figures", row.Name)
		}
		for _, f := range row.Figures {
			if n := len(f.Ours); n != minRounds && n != 1 || len(f.Floor) != 0 && len(f.Floor) != n {
				t.Errorf("%s: %d values and %d of the floor", f.What, n, len(f.Floor))
			}
			for _, v := range append(f.Ours, f.Floor...) {
				if v < 0 || v == 0 && f.Unit != "" {
					t.Errorf("%s: %v %s", f.What, v, f.Unit)
				}
			}
			if !strings.Contains(stdout.String(), strings.ReplaceAll(f.What, "`", "")) {
				t.Errorf("%s is not in the table:\n%s", f.What, &stdout)
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-rows nothing", "no row"},
		{"-rounds 3", "at least 5"},
		{"-keys 10", "too small"},
		{"-duration 1h", "from 100ms to 1m"},
		{"-short -write", "whole run"},
		{"-write -rows list", "whole run"},
		{"verify", "no flag"},
	} {
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), strings.Fields(c.args), &stdout, &stderr); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("bench %s: %v, want %q", c.args, err, c.want)
		}
	}
}
