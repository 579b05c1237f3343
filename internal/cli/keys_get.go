package cli

import "github.com/spf13/cobra"

func getKeyCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get KEY_ID",
		Short: "Show what is known about a key",
		Long: `Show what is known about a key. Its token is not: the server does not have it, and the hint is enough to tell keys
apart. "Last used" is at most a minute behind.

A key that you may not see does not exist, as far as you can tell.`,
		Example: `  apikeyd keys get 17
  apikeyd keys get 17 -o json | jq .metadata`,
		Args:              arguments("KEY_ID", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("KEY_ID", args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		k, err := c.GetKey(cmd.Context(), ids[0])
		if err != nil {
			return about(keyNoun, ids[0], err)
		}
		return s.printKey(output.value, k, "")
	}
	return cmd
}
