package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

func verifyKeyCommand(s *session) *cobra.Command {
	var (
		scope        oneScope
		organization id
	)
	cmd := &cobra.Command{
		Use:   "verify TOKEN|-",
		Short: "Ask whether a token is good, as your services do",
		Long: `Ask the verification listener whether a token is good: for anything, or with --scope, --organization and --ip for
something in particular. The first line of the output is the answer:

  VALID                it is good for what was asked
  NOT_FOUND            no token of any key, or not of this organization's
  DISABLED             its key is disabled
  EXPIRED              its key has expired
  INSUFFICIENT_SCOPE   its key lacks the scope
  IP_NOT_ALLOWED       its key may not be used from that address, or no --ip was given
  RATE_LIMITED         the requests of one of its key's limits are used up for now
  QUOTA_EXCEEDED       its key's quota is used up

To ask is a request like any other: it counts against the limits and the quota of the key.

"-" reads the token from standard input. That is better than giving it as an argument, which everybody on this machine
can see in ps, and which the shell remembers.

Exit code 0 means that the token is good; 1 that it is not, or, with a message on standard error and nothing on
standard output, that nobody could say; 2 wrong usage. This command needs no API key.`,
		Example: `  apikeyd keys verify - < key.txt
  printenv KEY | apikeyd keys verify - --scope READ && echo "may read"
  apikeyd keys verify - --verify-server unix:/run/apikeyd/verify.sock < key.txt`,
		Args:              arguments("TOKEN", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.Var(&scope, "scope", "the scope it must have")
	f.Var(&organization, "organization", "the organization it must belong to")
	ip := addText(cmd, "ip", "IP", "", "the address from which it is used")
	addVerifierFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)
	completeScopes(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v, err := s.connectVerifier(cmd)
		if err != nil {
			return err
		}
		q := api.VerifyRequest{Key: args[0], Scope: api.Scope(scope), OrganizationID: int64(organization), IP: *ip}
		if q.Key == "-" {
			if q.Key, err = s.secretFromInput(cmd.Context(), "token"); err != nil {
				return err
			}
		}
		answer, err := v.Verify(cmd.Context(), q)
		if err != nil {
			return err
		}
		if err := s.printVerification(output.value, answer); err != nil {
			return err
		}
		if !answer.Valid {
			return errAnswered
		}
		return nil
	}
	return cmd
}

func (s *session) printVerification(format string, a api.Verification) error {
	if format == formatJSON {
		return printJSON(s.Out, a)
	}
	if _, err := fmt.Fprintln(s.Out, visible(string(a.Code))); err != nil {
		return err
	}
	if a.KeyID == 0 {
		return nil
	}
	var f fields
	f.add("ID", fmt.Sprint(a.KeyID))
	f.add("Name", a.KeyName)
	f.add("Scopes", joinScopes(a.KeyScope, ", "))
	f.add("Organization", fmt.Sprint(a.OrganizationID))
	f.add("User", fmt.Sprint(a.UserID))
	f.add("Expires", timeOrNever(a.ExpiresAt))
	f.add("Metadata", string(a.Metadata))
	if a.RateLimit != nil {
		f.add("Left", rateLimitText(a.RateLimit))
	}
	return f.print(s.Out)
}
