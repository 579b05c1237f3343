package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that was measured in a run.
type report struct {
	Machine machine       `json:"machine"`
	Size    size          `json:"size"`
	Began   time.Time     `json:"began"`
	Took    time.Duration `json:"took_ns"`
	Rows    []measured    `json:"rows"`
}

// measured is a row and its figures.
type measured struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Figures []figure `json:"figures"`
}

// missed returns how many figures are not what is promised.
func (r *report) missed() (n int) {
	for _, row := range r.Rows {
		for i := range row.Figures {
			if !row.Figures[i].kept() {
				n++
			}
		}
	}
	return n
}

// columns are the headings of the table.
var columns = []string{"what", "measured", "floor", "ratio", "promised", "kept"}

// cells returns the line of a figure in the table.
func (f *figure) cells() []string {
	floor, ratio, kept := "–", "–", "yes"
	measured := quantity(median(f.Ours), f.Unit)
	if len(f.Floor) > 0 {
		floor = quantity(median(f.Floor), f.Unit)
		r := f.ratios()
		ratio = fmt.Sprintf("%.2f (%.2f–%.2f)", median(r), slices.Min(r), slices.Max(r))
	} else if low, high := slices.Min(f.Ours), slices.Max(f.Ours); low != high {
		measured += fmt.Sprintf(" (%s–%s)", number(low), number(high))
	}
	switch {
	case f.Bound.Kind == noBound:
		kept = "–"
	case !f.kept():
		kept = "**no**"
	}
	return []string{f.What, measured, floor, ratio, f.promise(), kept}
}

// promise returns the bound as text: "at least 0.90 ×" of the floor, or "under 500 ns".
func (f *figure) promise() string {
	switch {
	case f.Bound.Kind == noBound:
		return "–"
	case len(f.Floor) > 0:
		return fmt.Sprintf("%s %.2f ×", f.Bound.Kind, f.Bound.Limit)
	default:
		return string(f.Bound.Kind) + " " + quantity(f.Bound.Limit, f.Unit)
	}
}

// quantity returns a number with its unit.
func quantity(v float64, unit string) string {
	return strings.TrimSuffix(number(v)+" "+unit, " ")
}

// number returns a number with three digits that count, and with commas between thousands.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return count(int64(v + 0.5))
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// count returns a whole number with commas between thousands.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// text returns the report for a terminal.
func (r *report) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells []string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line(columns)
	for _, row := range r.Rows {
		for i := range row.Figures {
			line(row.Figures[i].cells())
		}
	}
	w.Flush() // a strings.Builder takes everything
	plain := strings.NewReplacer("`", "", "**", "").Replace(b.String())
	return plain + "\n" + r.machineText() + "\n" + r.verdict() + "\n"
}

// markdown returns the report for the documentation.
func (r *report) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns)
	b.WriteString("|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		for i := range row.Figures {
			line(row.Figures[i].cells())
		}
	}
	fmt.Fprintf(&b, "\n%s\n\n%s\n", r.machineText(), r.verdict())
	return b.String()
}

// machineText describes machine and run in a sentence or two.
func (r *report) machineText() string {
	m := r.Machine
	text := fmt.Sprintf("Measured on %s, in %v, at commit %s: %s, %d cores, %d GB, Linux %s, %s, %s, SQLite %s",
		r.Began.Format("2 January 2006"), r.Took.Round(time.Second), m.Commit, m.CPU, m.Cores, m.MemoryGB, m.Kernel,
		m.FileSystem, m.Go, m.SQLite)
	if m.Wrk != "" {
		text += ", wrk " + m.Wrk
	}
	text += fmt.Sprintf(". %d rounds; load of the machine before: %s.", r.Size.Rounds, m.Load)
	if r.Size.Keys < full.Keys || r.Size.Load < full.Load {
		text += " Smaller sizes or shorter runs than the promises are about."
	}
	return text
}

// verdict says whether promises are kept.
func (r *report) verdict() string {
	switch n := r.missed(); n {
	case 0:
		return "Every figure is what is promised."
	case 1:
		return "One figure is not what is promised."
	default:
		return fmt.Sprintf("%d figures are not what is promised.", n)
	}
}

// writeJSON writes the report with every round to a file.
func (r *report) writeJSON(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
