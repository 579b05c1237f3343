package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/apikeyd/apikeyd/api"
)

// The columns of a table of keys.
const (
	columnID = iota
	columnName
	columnHint
	columnScopes
	columnState
	columnLastUsed
)

var keyColumns = []string{"ID", "NAME", "HINT", "SCOPES", "STATE", "LAST USED"}

const (
	columnGap = 2
	minName   = 8    // columns: a name is not cut shorter than this
	tableRows = 1000 // that are measured together; a longer table is printed piece by piece
)

// columns measures text as terminals show it: a Chinese character takes two columns, a combining accent none. It
// does not ask the environment, so that a table looks the same everywhere.
var columns = &runewidth.Condition{StrictEmojiNeutral: true}

// keyTable prints keys as a table. In a terminal that is too narrow for it, scopes are shortened to their first
// letters, then names are cut.
type keyTable struct {
	out    io.Writer
	width  int // columns; 0: as many as it takes
	now    time.Time
	rows   [][]string
	widths []int // of the columns printed so far
}

func (t *keyTable) add(k api.Key) error {
	t.rows = append(t.rows, []string{
		columnID:       fmt.Sprint(k.KeyID),
		columnName:     visible(k.KeyName),
		columnHint:     visible(k.KeyHint),
		columnScopes:   visible(joinScopes(k.KeyScope, ",")),
		columnState:    state(k, t.now),
		columnLastUsed: ago(k.LastUsedAt, t.now),
	})
	if len(t.rows) < tableRows {
		return nil
	}
	return t.flush()
}

// flush prints the rows that are waiting, and before the first of them the names of the columns.
func (t *keyTable) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	first := t.widths == nil
	if first {
		t.widths = make([]int, len(keyColumns))
		t.measure([][]string{keyColumns})
	}
	printed := slices.Clone(t.widths)
	t.measure(t.rows)
	if t.tooWide() {
		for _, row := range t.rows {
			row[columnScopes] = initials(row[columnScopes])
		}
		t.widths[columnScopes] = printed[columnScopes]
		t.measure(t.rows)
	}
	if t.tooWide() {
		t.widths[columnName] = max(minName, t.widths[columnName]-(t.total()-t.width))
		for _, row := range t.rows {
			row[columnName] = columns.Truncate(row[columnName], t.widths[columnName], "…")
		}
	}
	var b strings.Builder
	if first {
		t.line(&b, keyColumns)
	}
	for _, row := range t.rows {
		t.line(&b, row)
	}
	t.rows = t.rows[:0]
	_, err := io.WriteString(t.out, b.String())
	return err
}

func (t *keyTable) measure(rows [][]string) {
	for _, row := range rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], columns.StringWidth(cell))
		}
	}
}

func (t *keyTable) total() int {
	total := columnGap * (len(t.widths) - 1)
	for _, w := range t.widths {
		total += w
	}
	return total
}

func (t *keyTable) tooWide() bool { return t.width > 0 && t.total() > t.width }

// line writes a row without spaces at its end.
func (t *keyTable) line(b *strings.Builder, row []string) {
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", max(0, t.widths[i]-columns.StringWidth(cell))+columnGap))
		}
	}
	b.WriteByte('\n')
}

// initials shortens "READ,CREATE" to "RC". No two scopes begin with the same letter; one that is not known stays as
// it is.
func initials(list string) string {
	var b strings.Builder
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(allScopes, api.Scope(name)) {
			return list
		}
		b.WriteByte(name[0])
	}
	return b.String()
}
