package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

const (
	defaultListed = 100
	pageLimit     = 1000 // the largest page that the server gives
)

func listCommand(s *session) *cobra.Command {
	var (
		organization id
		enabled      switches
		scope        oneScope
		limit        int
		all          bool
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List keys, newest first",
		Long: `List keys, newest first: your own, and with --organization, for an admin or owner, everybody's in it. Filters add
up: a key is listed if it fits all of them.

In a terminal the table is made to fit: scopes are shortened to their first letters (READ is R, CREATE is C, and so on)
and long names are cut. Elsewhere, and with -o json, nothing is shortened.

-o json prints the array of keys that the API gives.`,
		Example: `  apikeyd keys list
  apikeyd keys list --organization 432 --scope MANAGE --all

  # the ids of all keys that nobody has ever used
  apikeyd keys list --all -o json | jq '.[] | select(.last_used_at == null) | .key_id'`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.Var(&organization, "organization", "keys of this organization")
	query := addText(cmd, "query", "TEXT", "", "keys whose name holds this")
	enabled.addFlags(cmd, "keys that are enabled", "keys that are disabled")
	f.Var(&scope, "scope", "keys that have this scope")
	f.IntVar(&limit, "limit", defaultListed, "at most this many keys; `N` is 1 or more")
	f.BoolVar(&all, "all", false, "every key")
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)
	completeScopes(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := exclusive(cmd, "limit", "all"); err != nil {
			return err
		}
		if limit < 1 {
			return usagef("--limit %d: must be at least 1; --all lists every key", limit)
		}
		wanted, err := enabled.value(cmd)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		options := client.ListOptions{
			OrganizationID: int64(organization), Query: *query, Enabled: wanted, Scope: api.Scope(scope), Limit: pageLimit,
		}
		if !all {
			options.Limit = min(limit, pageLimit-1) + 1 // one more tells whether there are more
		}
		var list keyList = &keyTable{out: s.Out, width: s.width, now: s.now()}
		if output.value == formatJSON {
			list = &keyArray{out: s.Out}
		}
		count, more := 0, false
		for k, err := range c.AllKeys(cmd.Context(), options) {
			if err != nil {
				return err
			}
			if more = !all && count == limit; more {
				break
			}
			if err := list.add(k); err != nil {
				return err
			}
			count++
		}
		if err := list.flush(); err != nil {
			return err
		}
		switch {
		case more:
			fmt.Fprintf(s.Err, "There are more than these %d; --all lists every key.\n", count)
		case count == 0 && output.value == formatTable:
			fmt.Fprintln(s.Err, "There are no such keys.")
		}
		return nil
	}
	return cmd
}

// keyList prints keys as they come. Nothing is complete before flush.
type keyList interface {
	add(api.Key) error
	flush() error
}

// keyArray prints keys as a JSON array. After an error the array is left open, so that nobody takes it for whole.
type keyArray struct {
	out   io.Writer
	begun bool
}

func (a *keyArray) add(k api.Key) error {
	b, err := marshal(k, "  ")
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

func (a *keyArray) flush() error {
	closing := "\n]\n"
	if !a.begun {
		closing = "[]\n"
	}
	_, err := io.WriteString(a.out, closing)
	return err
}

// switches are the flags --enabled and --disabled, of which one may be given.
type switches struct{ enabled, disabled bool }

func (w *switches) addFlags(cmd *cobra.Command, enabled, disabled string) {
	cmd.Flags().BoolVar(&w.enabled, "enabled", false, enabled)
	cmd.Flags().BoolVar(&w.disabled, "disabled", false, disabled)
}

// value returns nil where neither was given. --enabled=false is --disabled.
func (w *switches) value(cmd *cobra.Command) (*bool, error) {
	if err := exclusive(cmd, "enabled", "disabled"); err != nil {
		return nil, err
	}
	switch f := cmd.Flags(); {
	case f.Changed("enabled"):
		return new(w.enabled), nil
	case f.Changed("disabled"):
		return new(!w.disabled), nil
	default:
		return nil, nil
	}
}
