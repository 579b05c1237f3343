package cli

import (
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"
)

// noun is what a command is about.
type noun struct{ one, many string }

var (
	keyNoun          = noun{"key", "keys"}
	organizationNoun = noun{"organization", "organizations"}
	memberNoun       = noun{"member", "members"}
	sessionNoun      = noun{"session", "sessions"}
	entryNoun        = noun{"entry", "entries"}
)

const (
	defaultListed = 100
	pageLimit     = 1000 // the largest page that the server gives
)

// portion is how much of a list is wanted: the flags --limit and --all.
type portion struct {
	what  noun
	limit int
	all   bool
}

func addPortion(cmd *cobra.Command, what noun) *portion {
	p := &portion{what: what}
	cmd.Flags().IntVar(&p.limit, "limit", defaultListed, "at most this many "+what.many+"; `N` is 1 or more")
	cmd.Flags().BoolVar(&p.all, "all", false, "every "+what.one)
	return p
}

func (p *portion) check(cmd *cobra.Command) error {
	if err := exclusive(cmd, "limit", "all"); err != nil {
		return err
	}
	if p.limit < 1 {
		return usagef("--limit %d: must be at least 1; --all lists every %s", p.limit, p.what.one)
	}
	return nil
}

// pageSize is how many things a page should have.
func (p *portion) pageSize() int {
	if p.all {
		return pageLimit
	}
	return min(p.limit, pageLimit-1) + 1 // one more tells whether there are more
}

// printList prints the wanted portion of things, in the given format.
func printList[T any](s *session, p *portion, format string, columns []column[T], things iter.Seq2[T, error]) error {
	var list list[T] = &table[T]{out: s.Out, width: s.width, columns: columns}
	if format == formatJSON {
		list = &array[T]{out: s.Out}
	}
	count, more := 0, false
	for thing, err := range things {
		if err != nil {
			return err
		}
		if more = !p.all && count == p.limit; more {
			break
		}
		if err := list.add(thing); err != nil {
			return err
		}
		count++
	}
	if err := list.flush(); err != nil {
		return err
	}
	switch {
	case more:
		fmt.Fprintf(s.Err, "There are more than these %d; --all lists every %s.\n", count, p.what.one)
	case count == 0 && format == formatTable:
		fmt.Fprintf(s.Err, "There are no such %s.\n", p.what.many)
	}
	return nil
}

// list prints things as they come. Nothing is complete before flush.
type list[T any] interface {
	add(T) error
	flush() error
}

// array prints things as a JSON array. After an error the array is left open, so that nobody takes it for whole.
type array[T any] struct {
	out   io.Writer
	begun bool
}

func (a *array[T]) add(thing T) error {
	b, err := marshal(thing, "  ")
	if err != nil {
		return err
	}
	opening := ",\n  "
	if !a.begun {
		opening, a.begun = "[\n  ", true
	}
	_, err = fmt.Fprintf(a.out, "%s%s", opening, b)
	return err
}

func (a *array[T]) flush() error {
	closing := "\n]\n"
	if !a.begun {
		closing = "[]\n"
	}
	_, err := io.WriteString(a.out, closing)
	return err
}
