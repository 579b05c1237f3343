package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		name  string
		f     figure
		kept  bool
		cells string // all but the name
	}{
		{"above its floor", figure{Unit: "/s", Ours: []float64{90, 110, 95}, Floor: []float64{100, 100, 100}, Bound: bound{atLeast, 0.95}},
			true, "95 /s | 100 /s | 0.95 (0.90–1.10) | at least 0.95 × | yes"},
		{"the ratio of each round counts, not that of the medians",
			figure{Unit: "/s", Ours: []float64{10, 200, 300}, Floor: []float64{20, 400, 200}, Bound: bound{atLeast, 0.9}},
			false, "200 /s | 200 /s | 0.50 (0.50–1.50) | at least 0.90 × | **no**"},
		{"slower than its floor", figure{Unit: "ms", Ours: []float64{2.6}, Floor: []float64{2}, Bound: bound{atMost, 1.3}},
			true, "2.60 ms | 2 ms | 1.30 (1.30–1.30) | at most 1.30 × | yes"},
		{"without a floor", figure{Unit: "ns", Ours: []float64{480, 12.34, 1234567}, Bound: bound{under, 500}},
			true, "480 ns (12.3–1,234,567) | – | – | under 500 ns | yes"},
		{"at the limit", figure{Unit: "MB", Ours: []float64{45}, Bound: bound{under, 45}},
			false, "45 MB | – | – | under 45 MB | **no**"},
		{"nothing promised", figure{Unit: "bytes", Ours: []float64{700.4}}, true, "700 bytes | – | – | – | –"},
		{"a count", figure{Ours: []float64{0, 0, 0}, Bound: bound{atMost, 0}}, true, "0 | – | – | at most 0 | yes"},
	} {
		if c.f.kept() != c.kept {
			t.Errorf("%s: kept %v", c.name, c.f.kept())
		}
		if got := strings.Join(c.f.cells()[1:], " | "); got != c.cells {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.cells)
		}
	}
}

func TestMedian(t *testing.T) {
	values := []float64{5, 1, 4, 2}
	if got := median(values); got != 3 {
		t.Errorf("median = %v, want 3", got)
	}
	if !slices.Equal(values, []float64{5, 1, 4, 2}) {
		t.Errorf("the values were moved: %v", values)
	}
}

func TestInTurn(t *testing.T) {
	var order []string
	note := func(name string) func() error { return func() error { order = append(order, name); return nil } }
	if err := inTurn(t.Context(), 2, note("a"), note("b"), note("c")); err != nil || strings.Join(order, "") != "abcabc" {
		t.Errorf("order %v, %v", order, err)
	}
}

func TestTakeTurns(t *testing.T) {
	var order []string
	note := func(name string) turn {
		return func(d time.Duration) error { order = append(order, name+" "+d.String()); return nil }
	}
	want := []string{"a 1s", "b 1s", "b 1s", "a 1s", "a 500ms", "b 500ms"}
	if err := takeTurns(t.Context(), 2500*time.Millisecond, note("a"), note("b")); err != nil || !slices.Equal(order, want) {
		t.Errorf("%v, %v, want %v", order, err, want)
	}
	failed := errors.New("failed")
	order = nil
	err := takeTurns(t.Context(), time.Second, note("a"), func(time.Duration) error { return failed }, note("b"))
	if err != failed || !slices.Equal(order, want[:1]) {
		t.Errorf("%v, %v, want %v after %v", order, err, failed, want[:1])
	}
}

var example = report{
	Machine: machine{Commit: "abc", CPU: "Some CPU", Cores: 2, MemoryGB: 24, Kernel: "6.18", FileSystem: "ext4", Go: "go1.26", SQLite: "3.54", Load: "0.10"},
	Size:    full, Began: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Took: time.Minute,
	Rows: []measured{{Name: "list", What: "lists", Figures: []figure{
		{What: "`GET` a page", Unit: "ms", Ours: []float64{3}, Floor: []float64{2}, Bound: bound{atMost, 1.5}},
		{What: "another", Unit: "ms", Ours: []float64{4}, Floor: []float64{2}, Bound: bound{atMost, 1.5}},
	}}},
}

func TestMarkdown(t *testing.T) {
	const want = `| what | measured | floor | ratio | promised | kept |
|---|---|---|---|---|---|
| ` + "`GET`" + ` a page | 3 ms | 2 ms | 1.50 (1.50–1.50) | at most 1.50 × | yes |
| another | 4 ms | 2 ms | 2.00 (2.00–2.00) | at most 1.50 × | **no** |

Measured on 22 November 2026, in 1m0s, at commit abc: Some CPU, 2 cores, 24 GB, Linux 6.18, ext4, go1.26, SQLite 3.54. 5 rounds; load of the machine before: 0.10.

One figure is not what is promised.
`
	if got := example.markdown(); got != want {
		t.Errorf("markdown =\n%s\nwant\n%s", got, want)
	}
}

// TestDocument puts results into a copy of the document, twice.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", document))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	path := filepath.Join(root, document)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	var written [2]string
	for i := range written {
		if err := example.writeDocument(root); err != nil {
			t.Fatal(err)
		}
		changed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written[i] = string(changed)
	}
	head, _, _ := strings.Cut(string(text), beginMark)
	_, tail, _ := strings.Cut(string(text), endMark)
	if !strings.HasPrefix(written[0], head) || !strings.HasSuffix(written[0], tail) || !strings.Contains(written[0], example.markdown()) {
		t.Errorf("the document is now\n%s", written[0])
	}
	if written[0] != written[1] {
		t.Error("the second time wrote something else")
	}
	for _, broken := range []string{"no marks", beginMark + "\n no end"} {
		if text, err := replaceResults(broken, "x"); err == nil {
			t.Errorf("replaceResults(%q) = %q", broken, text)
		}
	}
}
