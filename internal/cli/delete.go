package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

func deleteCommand(s *session) *cobra.Command {
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
		ids, err := keyIDs(args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		var failed keyErrors
		for i, keyID := range ids {
			err := c.DeleteKey(cmd.Context(), keyID)
			if err == nil {
				if _, err := fmt.Fprintf(s.Out, "deleted %d\n", keyID); err != nil {
					return err
				}
				continue
			}
			failed = append(failed, &keyError{keyID, err})
			if !errors.Is(err, api.ErrNotFound) && !errors.Is(err, api.ErrForbidden) {
				// The rest would fare no better.
				if left := ids[i+1:]; len(left) > 0 {
					failed = append(failed, fmt.Errorf("not tried: %s", strings.Trim(fmt.Sprint(left), "[]")))
				}
				break
			}
		}
		if failed != nil {
			return failed
		}
		return nil
	}
	return cmd
}
