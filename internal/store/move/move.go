// Package move takes everything in one database to another: every row of every table, unchanged.
//
// The target is filled in one transaction, and before that is committed, each row is read back and compared with the one it
// came from. So there is nothing in the target, or all of it and right; whatever interrupts a copy, it begins again as if it
// had never begun.
//
// The package knows no database. It is handed both.
package move

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// Source is a database that is read. Nobody MUST be able to change it meanwhile.
type Source interface {
	// Count returns how many rows a table has.
	Count(ctx context.Context, t sqlstore.Table) (int64, error)
	// Rows returns the rows of a table in the order of its key, text by its bytes. Of several, one is read at a time.
	Rows(ctx context.Context, t sqlstore.Table) (sqlstore.Rows, error)
	// Highest returns the highest key that was ever given in a table that gives them, and 0 where none was.
	Highest(ctx context.Context, t sqlstore.Table) (int64, error)
}

// Target is an empty database that is filled in one transaction.
type Target interface {
	// Fill takes rows into a table, and leaves their keys as they are.
	Fill(ctx context.Context, t sqlstore.Table, rows sqlstore.Rows) error
	// Rows is that of Source, and includes what was filled in.
	Rows(ctx context.Context, t sqlstore.Table) (sqlstore.Rows, error)
	// GiveFrom lets the next key that a table gives be the one behind highest.
	GiveFrom(ctx context.Context, t sqlstore.Table, highest int64) error
	// Commit keeps everything that was filled in.
	Commit(ctx context.Context) error
}

// Step is what is being done with a row.
type Step string

// The steps, in their order. Each row goes through both.
const (
	Copying   Step = "copying"
	Comparing Step = "comparing"
)

// Progress is how far a copy has got.
type Progress struct {
	Step       Step
	Table      string
	Done, Rows int64 // of the table, in this step
	All, Total int64 // of all tables, in both steps
}

// Finished reports whether the table is through with the step.
func (p Progress) Finished() bool { return p.Done == p.Rows }

// DifferentError: a row in the target is not what it was in the source. Nothing was committed.
type DifferentError struct {
	Table string
	Row   int64 // its number in the order of the key, from 1
	What  string
}

func (e *DifferentError) Error() string {
	return fmt.Sprintf("%s: row %d %s; nothing was kept", e.Table, e.Row, e.What)
}

// Copy takes every row from one database to the other and returns how many there were. It tells of each row but for those
// that follow another within a thousand, and of the end of each table.
func Copy(ctx context.Context, from Source, to Target, tell func(Progress)) (int64, error) {
	c := copying{from: from, to: to, tell: tell, rows: map[string]int64{}}
	var total int64
	for _, t := range sqlstore.Tables {
		n, err := from.Count(ctx, t)
		if err != nil {
			return 0, about(t, err)
		}
		c.rows[t.Name] = n
		total += n
	}
	c.progress.Total = 2 * total
	for _, do := range []func(context.Context, sqlstore.Table) error{c.fill, c.compare} {
		for _, t := range sqlstore.Tables {
			if err := do(ctx, t); err != nil {
				return 0, about(t, err)
			}
		}
	}
	return total, to.Commit(ctx)
}

func about(t sqlstore.Table, err error) error {
	if _, ok := errors.AsType[*DifferentError](err); ok {
		return err
	}
	return fmt.Errorf("%s: %w", t.Name, err)
}

// copying is a copy under way.
type copying struct {
	from     Source
	to       Target
	tell     func(Progress)
	rows     map[string]int64 // by table
	progress Progress
}

// every is how many rows are passed over before the next is told of.
const every = 1000

func (c *copying) begin(s Step, t sqlstore.Table) {
	c.progress.Step, c.progress.Table, c.progress.Done, c.progress.Rows = s, t.Name, 0, c.rows[t.Name]
	c.tell(c.progress)
}

func (c *copying) row() {
	c.progress.Done++
	c.progress.All++
	if c.progress.Done%every == 0 || c.progress.Finished() {
		c.tell(c.progress)
	}
}

// fill takes a table to the target.
func (c *copying) fill(ctx context.Context, t sqlstore.Table) (err error) {
	c.begin(Copying, t)
	rows, err := c.from.Rows(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if err := c.to.Fill(ctx, t, counted{rows, c.row}); err != nil {
		return err
	}
	if !t.Given {
		return nil
	}
	highest, err := c.from.Highest(ctx, t)
	if err != nil {
		return err
	}
	return c.to.GiveFrom(ctx, t, highest)
}

// counted calls a function for each row.
type counted struct {
	sqlstore.Rows
	row func()
}

func (c counted) Next() bool {
	ok := c.Rows.Next()
	if ok {
		c.row()
	}
	return ok
}

// compare holds each row of a table in the target against that in the source.
func (c *copying) compare(ctx context.Context, t sqlstore.Table) (err error) {
	c.begin(Comparing, t)
	want, err := c.from.Rows(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, want.Close()) }()
	got, err := c.to.Rows(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, got.Close()) }()
	for n := int64(1); ; n++ {
		switch more, same := want.Next(), got.Next(); {
		case want.Err() != nil:
			return want.Err()
		case got.Err() != nil:
			return got.Err()
		case more && !same:
			return &DifferentError{t.Name, n, "is missing in the copy"}
		case !more && same:
			return &DifferentError{t.Name, n, "is in the copy alone"}
		case !more:
			return nil
		}
		if err := compareRow(t, n, want, got); err != nil {
			return err
		}
		c.row()
	}
}

// compareRow says no more of a row that differs than where, because there are secrets in some.
func compareRow(t sqlstore.Table, n int64, want, got sqlstore.Rows) error {
	a, err := want.Values()
	if err != nil {
		return err
	}
	b, err := got.Values()
	if err != nil {
		return err
	}
	for i, column := range t.Columns {
		if !equal(a[i], b[i]) {
			return &DifferentError{t.Name, n, "differs in " + column.Name}
		}
	}
	return nil
}

func equal(a, b any) bool {
	left, ok := a.([]byte)
	if !ok {
		return a == b // no other kind is of bytes, and one that is never equals another kind
	}
	right, ok := b.([]byte)
	return ok && bytes.Equal(left, right)
}
