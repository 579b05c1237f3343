package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// NewAuditCommand returns "audit" with those of its subcommands that are clients of a running server; commands that
// work on the server may be added to it. lookupEnv is os.LookupEnv, but for tests.
func NewAuditCommand(streams Streams, lookupEnv func(string) (string, bool)) *cobra.Command {
	return newAuditCommand(newSession(streams, lookupEnv))
}

func newAuditCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read the audit log",
		Long: `Read the audit log: who did what to what, when and from where, and what was refused to whom. It is written together
with the change it tells of, and it is chained: each entry carries the hash of the one before it.

Admins and owners see the entries of their organizations, instance admins all.

Exit codes: 0; 1 it failed; 2 wrong usage.`,
		Example: `  apikeyd audit list
  apikeyd audit list --action "key.*" --since 7d`,
	}
	cmd.AddCommand(listAuditCommand(s))
	return s.finish(cmd)
}

// The types of what actions are about.
var targetTypes = []string{"key", "organization", "member", "user", "session", "node", "audit"}

func listAuditCommand(s *session) *cobra.Command {
	var (
		organization, user, key, target id
		from, to                        moment
		since                           span
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List entries of the audit log, newest first",
		Long: `List entries of the audit log, newest first. Filters add up: an entry is listed if it fits all of them.

An action is a thing and what was done to it, such as key.create, member.update or session.create; "key.*" is all that
was done to keys. --target-id is the id of what it was done to, and goes with --target-type; a member's is that of the
user.

The table leaves out what was changed, and the hashes; -o json prints the array of entries that the API gives.`,
		Example: `  apikeyd audit list --organization 432 --since 24h
  apikeyd audit list --outcome refused --actor-user 3
  apikeyd audit list --target-type key --target-id 17

  # what was changed, a line for each
  apikeyd audit list --action key.update -o json | jq -c '.[] | [.occurred_at, .before, .after]'`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.Var(&organization, "organization", "what concerns this organization")
	f.Var(&user, "actor-user", "what this user did")
	f.Var(&key, "actor-key", "what was done with this key")
	action := addText(cmd, "action", "ACTION", "", "this action, such as key.create, or all about a thing: \"key.*\"")
	targetType := addChoice(cmd, "target-type", "TYPE",
		"what was done to a thing of this type: "+sentence(targetTypes, "or"), targetTypes...)
	f.Var(&target, "target-id", "what was done to the thing with this id")
	outcome := addChoice(cmd, "outcome", "OUTCOME", "what succeeded, or what was refused: success or refused",
		api.AuditSuccess, api.AuditRefused)
	f.Var(&from, "from", "what happened at this time or later, such as 2027-01-31T18:00:00Z")
	f.Var(&since, "since", "what happened within this time, such as 7d or 12h")
	f.Var(&to, "to", "what happened before this time")
	portion := addPortion(cmd, entryNoun)
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := portion.check(cmd); err != nil {
			return err
		}
		if err := exclusive(cmd, "from", "since"); err != nil {
			return err
		}
		if target != 0 && targetType.value == "" {
			return usagef("--target-id goes with --target-type")
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		options := client.AuditOptions{
			OrganizationID: int64(organization), ActorUserID: int64(user), ActorKeyID: int64(key), Action: *action,
			TargetType: targetType.value, TargetID: int64(target), Outcome: api.AuditOutcome(outcome.value),
			From: from.Time, To: to.Time, Limit: portion.pageSize(),
		}
		if cmd.Flags().Changed("since") {
			options.From = s.now().Add(-time.Duration(since))
		}
		return printList(s, portion, output.value, auditColumns, c.AllAuditLog(cmd.Context(), options))
	}
	return cmd
}

var auditColumns = []column[api.AuditEntry]{
	{name: "ID", cell: func(e api.AuditEntry) string { return fmt.Sprint(e.AuditID) }},
	{name: "TIME", cell: func(e api.AuditEntry) string { return timeOrNever(&e.OccurredAt) }, short: withoutFraction},
	{name: "ACTOR", cell: func(e api.AuditEntry) string { return actor(e.Actor) }},
	{name: "ACTION", cell: func(e api.AuditEntry) string { return e.Action }},
	{name: "TARGET", cell: func(e api.AuditEntry) string { return auditTarget(e.Target) }},
	{name: "ORG", cell: func(e api.AuditEntry) string { return idOrDash(e.OrganizationID) }},
	{name: "OUTCOME", cell: auditOutcome, short: firstWord},
	{name: "IP", cell: func(e api.AuditEntry) string { return dashIfEmpty(e.IP) }},
}

// actor says who it was, and by which key or in which session.
func actor(a api.AuditActor) string {
	if a.UserID == nil {
		return "-"
	}
	text := fmt.Sprintf("user %d", *a.UserID)
	switch {
	case a.KeyID != nil:
		text += fmt.Sprintf(", key %d", *a.KeyID)
	case a.SessionID != nil:
		text += fmt.Sprintf(", session %d", *a.SessionID)
	}
	return text
}

func auditTarget(t api.AuditTarget) string {
	if t.ID == nil {
		return t.Type
	}
	return fmt.Sprintf("%s %d", t.Type, *t.ID)
}

func auditOutcome(e api.AuditEntry) string {
	if e.Code == "" {
		return string(e.Outcome)
	}
	return fmt.Sprintf("%s: %s", e.Outcome, e.Code)
}

// withoutFraction takes the milliseconds off a time.
func withoutFraction(time string) string {
	seconds, _, _ := strings.Cut(time, ".")
	return seconds + "Z"
}

func firstWord(s string) string {
	first, _, _ := strings.Cut(s, ":")
	return first
}
