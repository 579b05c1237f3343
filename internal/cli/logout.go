package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

// NewLogoutCommand returns "logout". lookupEnv is os.LookupEnv, but for tests.
func NewLogoutCommand(streams Streams, lookupEnv func(string) (string, bool)) *cobra.Command {
	return newLogoutCommand(newSession(streams, lookupEnv))
}

func newLogoutCommand(s *session) *cobra.Command {
	var forget bool
	cmd := &cobra.Command{
		Use:   "logout",
		Short: "End the session that login began, and forget it",
		Long: `End the session that "apikeyd login" began, and remove it from this machine. An API key that was kept is removed; it
stays good, and "apikeyd keys delete" deletes it.

Where the server cannot be reached, nothing is removed, since the session would live on. --forget removes what is kept
whatever it is, and asks nobody: a session then lasts until it expires, or until it is ended from another one.`,
		Example: `  apikeyd logout

  # the server is gone
  apikeyd logout --forget`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&forget, "forget", false, "remove what is kept, and leave the session as it is")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := s.credentialsPath()
		if err != nil {
			return err
		}
		if forget {
			return s.forget(path, "forgotten")
		}
		c, err := s.kept()
		switch {
		case err != nil:
			return err
		case c == nil:
			return s.forget(path, "")
		}
		if c.Session != "" {
			client, err := c.connect()
			if err != nil {
				return err
			}
			if err := client.SignOut(cmd.Context()); err != nil && !errors.Is(err, api.ErrUnauthenticated) { // it had ended before
				return err
			}
		}
		return s.forget(path, "signed out of "+c.Server)
	}
	return s.finish(cmd)
}

// forget removes what is kept, and says so in the given words.
func (s *session) forget(path, words string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(s.Err, "You were not signed in.")
		return nil
	}
	if err == nil {
		_, err = fmt.Fprintln(s.Out, visible(words))
	}
	return err
}
