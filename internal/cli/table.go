package cli

import (
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

const (
	columnGap = 2
	minCut    = 8    // columns: a cell is not cut shorter than this
	tableRows = 1000 // that are measured together; a longer table is printed piece by piece
)

// characters measures text as terminals show it: a Chinese character takes two columns, a combining accent none. It
// does not ask the environment, so that a table looks the same everywhere.
var characters = &runewidth.Condition{StrictEmojiNeutral: true}

// column is one of a table.
type column[T any] struct {
	name  string
	cell  func(T) string
	short func(string) string // what to make of a cell where the terminal is too narrow; nil: nothing
	cut   bool                // cells may be cut where that is not enough
}

// table prints things as a table. In a terminal that is too narrow for it, cells are shortened where their columns say
// how, then cut where they may be, the columns on the right first.
type table[T any] struct {
	out     io.Writer
	width   int // columns of the terminal; 0: as many as it takes
	columns []column[T]
	rows    [][]string
	widths  []int // of the columns printed so far
}

func (t *table[T]) add(thing T) error {
	row := make([]string, len(t.columns))
	for i, c := range t.columns {
		row[i] = visible(c.cell(thing))
	}
	t.rows = append(t.rows, row)
	if len(t.rows) < tableRows {
		return nil
	}
	return t.flush()
}

// flush prints the rows that are waiting, and before the first of them the names of the columns.
func (t *table[T]) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	var b strings.Builder
	if t.widths == nil {
		t.widths = make([]int, len(t.columns))
		names := t.names()
		t.measure([][]string{names})
		t.fit()
		t.line(&b, names)
	} else {
		t.fit()
	}
	for _, row := range t.rows {
		t.line(&b, row)
	}
	t.rows = t.rows[:0]
	_, err := io.WriteString(t.out, b.String())
	return err
}

// fit makes the columns as wide as the rows need, and then, where that is too much for the terminal, the rows narrower.
func (t *table[T]) fit() {
	printed := slices.Clone(t.widths)
	t.measure(t.rows)
	if t.excess() > 0 {
		for i, c := range t.columns {
			if c.short != nil {
				t.change(i, c.short)
				t.widths[i] = printed[i]
			}
		}
		t.measure(t.rows)
	}
	for i, c := range slices.Backward(t.columns) {
		if excess := t.excess(); c.cut && excess > 0 {
			least := max(minCut, characters.StringWidth(c.name))
			t.widths[i] = max(min(least, t.widths[i]), t.widths[i]-excess)
			t.change(i, func(cell string) string { return characters.Truncate(cell, t.widths[i], "…") })
		}
	}
}

// change replaces the cells of a column.
func (t *table[T]) change(column int, by func(string) string) {
	for _, row := range t.rows {
		row[column] = by(row[column])
	}
}

func (t *table[T]) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

func (t *table[T]) measure(rows [][]string) {
	for _, row := range rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], characters.StringWidth(cell))
		}
	}
}

// excess is by how much the table is too wide; 0 or less: it fits.
func (t *table[T]) excess() int {
	if t.width == 0 {
		return 0
	}
	total := columnGap * (len(t.widths) - 1)
	for _, w := range t.widths {
		total += w
	}
	return total - t.width
}

// line writes a row without spaces at its end.
func (t *table[T]) line(b *strings.Builder, row []string) {
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", max(0, t.widths[i]-characters.StringWidth(cell))+columnGap))
		}
	}
	b.WriteByte('\n')
}
