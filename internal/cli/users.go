package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

// NewUsersCommand returns "users" with those of its subcommands that are clients of a running server; commands that
// work on the server may be added to it. lookupEnv is os.LookupEnv, but for tests.
func NewUsersCommand(streams Streams, lookupEnv func(string) (string, bool)) *cobra.Command {
	return newUsersCommand(newSession(streams, lookupEnv))
}

func newUsersCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users",
		Short: "See who you are, set your password, list and end your sessions",
		Long: `See who you are, set your password, list and end your sessions.

"users me" acts as the API key it is given, or as the user who has signed in. The password and the sessions are a
person's: they take a session, which "apikeyd login" begins, and take no notice of API keys.

Exit codes: 0; 1 it failed; 2 wrong usage.`,
		Example: `  apikeyd users me
  apikeyd users password
  apikeyd users sessions list`,
	}
	cmd.AddCommand(meCommand(s), passwordCommand(s), sessionsCommand(s))
	return s.finish(cmd)
}

func meCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "me",
		Short: "Show who you are",
		Long: `Show who you are to the server: the user, the organizations with your role in each, and the API key where you came
with one. A key sees its own organization alone.`,
		Example: `  apikeyd users me
  apikeyd users me -o json | jq .user_id`,
		Args: cobra.NoArgs,
	}
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		me, err := c.Me(cmd.Context())
		if err != nil {
			return err
		}
		return s.printMe(output.value, me)
	}
	return cmd
}

func (s *session) printMe(format string, me api.Me) error {
	if format == formatJSON {
		return printJSON(s.Out, me)
	}
	var f fields
	f.add("User", fmt.Sprint(me.UserID))
	f.add("Email", me.Email)
	if me.InstanceAdmin {
		f.add("Instance admin", "yes")
	}
	for _, o := range me.Organizations {
		f.add("Organization", fmt.Sprintf("%d  %s  %s", o.OrganizationID, o.Role, o.OrganizationName))
	}
	if k := me.Key; k != nil {
		f.add("Key", fmt.Sprintf("%d  %s  %s", k.KeyID, joinScopes(k.KeyScope, ","), k.KeyName))
	}
	return f.print(s.Out)
}

func passwordCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "password",
		Short: "Set your password, and end your other sessions",
		Long: `Set your password: at least 12 characters, and none of the most common ones. All your other sessions end, and one-time
links that were made before are good no more.

It asks for the current password and twice for the new one. The current one is not needed where you have signed in with
a one-time link, or have none yet: then leave it empty. Where standard input is no terminal, its first line is the
current password and its second the new one; a single line is the new one.`,
		Example: `  apikeyd users password

  # lost it: with a one-time link no current one is needed
  apikeyd login --link -
  apikeyd users password`,
		Args: cobra.NoArgs,
	}
	addServer(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.connectSession(cmd)
		if err != nil {
			return err
		}
		p, err := s.newPassword(cmd.Context())
		if err != nil {
			return err
		}
		if err := c.SetPassword(cmd.Context(), p); err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.Out, "password set")
		return err
	}
	return cmd
}

// newPassword asks for both passwords, or reads them from a standard input that is no terminal.
func (s *session) newPassword(ctx context.Context) (p api.NewPassword, err error) {
	if !s.inIsTerminal() {
		lines, err := passwordLines(s.In, 2)
		if err != nil {
			return p, UsageError(fmt.Errorf("passwords from standard input: %w", err))
		}
		p.NewPassword = lines[len(lines)-1]
		if len(lines) > 1 {
			p.CurrentPassword = lines[0]
		}
		return p, nil
	}
	var again string
	for _, question := range []struct {
		what string
		into *string
	}{
		{"Current password (none is needed after signing in with a link)", &p.CurrentPassword},
		{"New password", &p.NewPassword},
		{"New password, again", &again},
	} {
		if *question.into, err = s.typed(ctx, question.what); err != nil {
			return p, err
		}
	}
	switch {
	case p.NewPassword != again:
		return p, errors.New("the new password was not the same both times; nothing was changed")
	case p.NewPassword == "":
		return p, errors.New("the new password is empty; nothing was changed")
	}
	return p, nil
}
