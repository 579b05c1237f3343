package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

func listKeysCommand(s *session) *cobra.Command {
	var (
		organization id
		enabled      switches
		scope        oneScope
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List keys, newest first",
		Long: `List keys, newest first: your own, and with --organization, for an admin or owner, everybody's in it. Filters add
up: a key is listed if it fits all of them.

A key that is restricted is active, with limits, a quota or addresses that it may be used from; "keys get" shows them.

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
	state := addChoice(cmd, "state", "STATE", "keys that are now active, disabled or expired",
		api.StateActive, api.StateDisabled, api.StateExpired)
	portion := addPortion(cmd, keyNoun)
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)
	completeScopes(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := portion.check(cmd); err != nil {
			return err
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
			OrganizationID: int64(organization), Query: *query, Enabled: wanted, Scope: api.Scope(scope),
			State: api.State(state.value), Limit: portion.pageSize(),
		}
		return printList(s, portion, output.value, keyColumns(s.now()), c.AllKeys(cmd.Context(), options))
	}
	return cmd
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

func keyColumns(now time.Time) []column[api.Key] {
	return []column[api.Key]{
		{name: "ID", cell: func(k api.Key) string { return fmt.Sprint(k.KeyID) }},
		{name: "NAME", cell: func(k api.Key) string { return k.KeyName }, cut: true},
		{name: "HINT", cell: func(k api.Key) string { return k.KeyHint }},
		{name: "SCOPES", cell: func(k api.Key) string { return joinScopes(k.KeyScope, ",") }, short: initials},
		{name: "STATE", cell: func(k api.Key) string { return listedState(k, now) }},
		{name: "LAST USED", cell: func(k api.Key) string { return ago(k.LastUsedAt, now) }},
	}
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
