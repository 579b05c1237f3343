package cli

import "github.com/spf13/cobra"

// NewKeysCommand returns "keys" with its subcommands. lookupEnv is os.LookupEnv, but for tests.
func NewKeysCommand(streams Streams, lookupEnv func(string) (string, bool)) *cobra.Command {
	return newKeysCommand(newSession(streams, lookupEnv))
}

func newKeysCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create, list, change, delete and verify API keys",
		Long: `Create, list, change, delete and verify API keys on a running server.

The commands act as the owner of the API key they are given, and can do no more than it can: to create a key with a
scope, the calling key needs CREATE and that scope itself. Give the key in the environment (APIKEYD_KEY) or in a file
(--key-file), and the server's address with APIKEYD_SERVER or --server. Where no key is given, they act as the user who
has signed in with "apikeyd login", on the server of that.

A key has one or more of five scopes. They are independent: MANAGE does not include READ.

  READ    read                GET, HEAD, OPTIONS
  CREATE  create resources    POST
  UPDATE  change them         PUT, PATCH
  DELETE  delete them         DELETE
  MANAGE  manage accounts     organizations and their members

Exit codes: 0; 1 it failed; 2 wrong usage.`,
		Example: `  export APIKEYD_KEY=ak_…
  apikeyd keys create --name "Backend" --scope READ,CREATE
  apikeyd keys list
  apikeyd keys delete 17`,
	}
	cmd.AddCommand(
		createKeyCommand(s), listKeysCommand(s), getKeyCommand(s), updateKeyCommand(s), rotateKeyCommand(s), deleteKeysCommand(s), verifyKeyCommand(s),
		keyUsageCommand(s), reportKeyCommand(s),
	)
	return s.finish(cmd)
}
