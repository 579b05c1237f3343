package cli

import (
	"time"

	"github.com/spf13/cobra"
)

func rotateKeyCommand(s *session) *cobra.Command {
	var grace span
	cmd := &cobra.Command{
		Use:   "rotate KEY_ID",
		Short: "Give a key a new token and print it, once",
		Long: `Give a key a new token and print it. All else about the key stays: its id, name, scopes and expiry.

The old token is dead at once. With --grace it is good for that long beside the new one, so that those who use it have
time to change over; at most 365 days.

With -o token standard output is the token and nothing else.`,
		Example: `  # it leaked: now
  apikeyd keys rotate 17

  # a change-over within an hour, straight into a file
  apikeyd keys rotate 17 --grace 1h -o token > key.txt`,
		Args:              arguments("KEY_ID", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().Var(&grace, "grace", "keep the old token alive this long, such as 1h or 7d")
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON, formatToken)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("KEY_ID", args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		k, err := c.RotateKey(cmd.Context(), ids[0], time.Duration(grace))
		if err != nil {
			return about(keyNoun, ids[0], err)
		}
		return s.printToken(output.value, k)
	}
	return cmd
}
