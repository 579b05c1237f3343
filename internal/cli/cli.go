// Package cli is the client side of the command line: "apikeyd keys …", "orgs …", "login" and the others that talk to a
// running server, built on the public client alone, so that whatever a command does, a program of anybody's can do too.
//
// It also holds what every command shares, the server's included: which exit code an error means (ExitCode), how it
// is printed (PrintError), and that wrong usage is told apart from failure (UsageError, WrapUsageErrors).
//
// Results go to standard output, and nothing else does; notes and errors go to standard error. A token is printed
// only by the two commands that are handed one. Text from a server is escaped before it reaches a terminal, which
// would otherwise obey control sequences in it. Nothing is asked back: every command works in a script. Only a secret is
// asked for, without echo, where standard input is a terminal.
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
	configDir func() (string, error) // the user's folder of configuration
	now       func() time.Time
	width     int // columns of the terminal that Out is; 0: it is none, and lines may have any length
}

// newSession returns what commands are run with. lookupEnv is os.LookupEnv, but for tests.
func newSession(streams Streams, lookupEnv func(string) (string, bool)) *session {
	return &session{
		Streams: streams, lookupEnv: lookupEnv, configDir: os.UserConfigDir, now: time.Now, width: terminalWidth(streams.Out),
	}
}

// finish returns cmd, below which nothing is missing, with the streams of s.
func (s *session) finish(cmd *cobra.Command) *cobra.Command {
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
