package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

func sessionsCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List and end your sessions",
		Long: `List and end your sessions: each place where you have signed in, in a browser or with "apikeyd login", and have not
signed out since. Setting a new password ends all of them but the one it is set in.`,
		Example: `  apikeyd users sessions list
  apikeyd users sessions end 12`,
	}
	cmd.AddCommand(listSessionsCommand(s), endSessionsCommand(s))
	return cmd
}

func listSessionsCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List your sessions, newest first",
		Long: `List your live sessions, newest first; the one that the command itself acts in is marked. "Last used" is at most a
minute behind. A session ends at the time under "expires", unless it is used before.

-o json prints the array of sessions that the API gives.`,
		Example: `  apikeyd users sessions list
  apikeyd users sessions list -o json | jq '.[] | select(.current | not) | .session_id'`,
		Args: cobra.NoArgs,
	}
	portion := addPortion(cmd, sessionNoun)
	addServer(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := portion.check(cmd); err != nil {
			return err
		}
		c, err := s.connectSession(cmd)
		if err != nil {
			return err
		}
		all := c.AllSessions(cmd.Context(), client.PageOptions{Limit: portion.pageSize()})
		return printList(s, portion, output.value, s.sessionColumns(), all)
	}
	return cmd
}

func (s *session) sessionColumns() []column[api.Session] {
	now := s.now()
	return []column[api.Session]{
		{name: "ID", cell: func(x api.Session) string { return fmt.Sprint(x.SessionID) }},
		{name: "CURRENT", cell: func(x api.Session) string {
			if x.Current {
				return "this one"
			}
			return "-"
		}},
		{name: "BEGUN WITH", cell: func(x api.Session) string { return string(x.Method) }},
		{name: "IP", cell: func(x api.Session) string { return dashIfEmpty(x.IP) }},
		{name: "BEGUN", cell: func(x api.Session) string { return day(x.CreatedAt) }},
		{name: "LAST USED", cell: func(x api.Session) string { return ago(&x.LastUsedAt, now) }},
		{name: "EXPIRES", cell: func(x api.Session) string { return day(x.ExpiresAt) }},
		{name: "PROGRAM", cell: func(x api.Session) string { return dashIfEmpty(x.UserAgent) }, cut: true},
	}
}

func endSessionsCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "end SESSION_ID...",
		Short: "End sessions of yours",
		Long: `End sessions of yours. Whoever acts in one has to sign in again. "apikeyd logout" ends the one that "apikeyd login"
began here.

Of several sessions, each is ended that can be; for the others it says why not, and exits with 1.`,
		Example:           `  apikeyd users sessions end 12`,
		Args:              arguments("SESSION_ID", 1, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addServer(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("SESSION_ID", args)
		if err != nil {
			return err
		}
		c, err := s.connectSession(cmd)
		if err != nil {
			return err
		}
		return s.each(sessionNoun, "ended", ids, func(id int64) error { return c.EndSession(cmd.Context(), id) })
	}
	return cmd
}
