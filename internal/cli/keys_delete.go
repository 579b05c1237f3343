package cli

import "github.com/spf13/cobra"

func deleteKeysCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete KEY_ID...",
		Short: "Delete keys for good",
		Long: `Delete keys for good. Nothing is asked back, and nothing brings a deleted key back. Once the command has printed that
a key is deleted, no check takes it for valid any more.

Of several keys, each is deleted that can be; for the others it says why not, and exits with 1.

To refuse a key for some time only, use "keys update --disabled".`,
		Example: `  apikeyd keys delete 17
  apikeyd keys delete 17 18 19`,
		Args:              arguments("KEY_ID", 1, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addServerFlags(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("KEY_ID", args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		return s.each(keyNoun, "deleted", ids, func(id int64) error { return c.DeleteKey(cmd.Context(), id) })
	}
	return cmd
}
