package cli

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"
)

// tokenForm is the form of every token. The server answers whatever it is sent in the same way, so that nobody would learn of a file's name
// in the place of a token, or of half a token, that nothing has ended.
var tokenForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,18}[a-z0-9]_[0-9A-Za-z]{49}$`)

var errNoToken = errors.New("what was given has not the form of a token, such as ak_ and 49 letters and digits, with nothing else on the line; " +
	"nothing was reported")

func reportKeyCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report TOKEN|-",
		Short: "Report a token that leaked, and so end it for good",
		Long: `Report a token that was found where it should not be, and so end it for good. Whoever holds a token may do so: it
need not be yours, and the command takes no API key. Its key is disabled until its owner rotates and enables it; where
the token is an old one in its grace, the key goes on with its newer token. The owner finds the report in the audit
log.

Whether it was a token, the server does not tell. Once the command has ended, it is none any more. What has not the
form of a token is not sent.

"-" reads the token from standard input. That is better than giving it as an argument, which everybody on this machine
can see in ps, and which the shell remembers.

Exit codes: 0 it is dead, if it was one; 1 it failed; 2 wrong usage.`,
		Example: `  apikeyd keys report - < found.txt
  apikeyd keys report - --server https://keys.example.com`,
		Args:              arguments("TOKEN", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addText(cmd, "server", "URL", defaultServer, "address of the management API (env "+envServer+")")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := connectTo(s.fromFlagOrEnv(cmd, "server", envServer))
		if err != nil {
			return err
		}
		token := args[0]
		if token == "-" {
			if token, err = s.secretFromInput(cmd.Context(), "token"); err != nil {
				return err
			}
		}
		if !tokenForm.MatchString(token) {
			return UsageError(errNoToken)
		}
		if err := c.ReportLeak(cmd.Context(), token); err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.Out, "reported: if it was a token, it is dead")
		return err
	}
	return cmd
}
