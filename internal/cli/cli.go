// Package cli is the client side of the command line: "apikeyd keys …", built on the public client alone, so that
// whatever a command does, a program of anybody's can do too.
//
// It also holds what every command shares, the server's included: which exit code an error means (ExitCode), how it
// is printed (PrintError), and that wrong usage is told apart from failure (UsageError, WrapUsageErrors).
//
// Results go to standard output, and nothing else does; notes and errors go to standard error. A token is printed
// only by the two commands that are handed one. Text from a server is escaped before it reaches a terminal, which
// would otherwise obey control sequences in it. Nothing is asked back: every command works in a script.
package cli

import (
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// session is what the commands are run with.
type session struct {
	Streams
	lookupEnv func(string) (string, bool)
	now       func() time.Time
	width     int // columns of the terminal that Out is; 0: it is none, and lines may have any length
}

// NewKeysCommand returns "keys" with its subcommands. lookupEnv is os.LookupEnv, but for tests.
func NewKeysCommand(streams Streams, lookupEnv func(string) (string, bool)) *cobra.Command {
	return newKeysCommand(&session{
		Streams: streams, lookupEnv: lookupEnv, now: time.Now, width: terminalWidth(streams.Out),
	})
}

func newKeysCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create, list, change, delete and verify API keys",
		Long: `Create, list, change, delete and verify API keys on a running server.

The commands act as the owner of the API key they are given, and can do no more than it can: to create a key with a
scope, the calling key needs CREATE and that scope itself. Give the key in the environment (APIKEYD_KEY) or in a file
(--key-file), and the server's address with APIKEYD_SERVER or --server.

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
		createCommand(s), listCommand(s), getCommand(s), updateCommand(s), rotateCommand(s), deleteCommand(s), verifyCommand(s),
	)
	cmd.SetIn(s.In)
	cmd.SetOut(s.Out)
	cmd.SetErr(s.Err)
	WrapUsageErrors(cmd)
	return cmd
}

func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			return columns
		}
	}
	return 0
}
