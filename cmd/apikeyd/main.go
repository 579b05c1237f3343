// Apikeyd is a self-hosted API-key server. See the README for what it does, and `apikeyd --help` for how.
//
// This package is wiring: signals, the commands that run on the server, and the exit code. The client commands are in
// internal/cli, everything else is behind internal/app.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal drains. A second one, from somebody who does not want to wait, ends the process as usual.
	context.AfterFunc(ctx, stop)

	p := program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	err := p.rootCommand().ExecuteContext(ctx)
	p.printError(err)
	os.Exit(cli.ExitCode(err))
}

// printTime is how long the program waits at its end for somebody to take its last words.
const printTime = 2 * time.Second

// printError prints err. Standard error may be a pipe that nobody reads, which must not keep the program from ending.
func (p *program) printError(err error) {
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		cli.PrintError(p.stderr, err)
	}()
	select {
	case <-printed:
	case <-time.After(printTime):
	}
}

// program is what the commands share.
type program struct {
	stdin          *os.File
	stdout, stderr io.Writer
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "apikeyd",
		Short: "An API-key server: create keys, check them in microseconds, delete them for good",
		Long: `apikeyd is an API-key server. Your customers create, list and delete their own keys; your services ask
whether a key may do a thing. A check costs microseconds, and a deleted key is dead before the delete answers.

Begin with "apikeyd serve" in an empty folder. It creates a database there with a first user, organization and
key, and prints five lines to try them with.`,
		Example: `  # a server on http://127.0.0.1:8080 that keeps its data in ./apikeyd.db
  apikeyd serve

  # with the key that the first start prints, in another terminal
  export APIKEYD_KEY=ak_…
  apikeyd keys create --name "Backend" --scope READ,CREATE`,
		Version:       build().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
	}
	streams := cli.Streams{In: p.stdin, Out: p.stdout, Err: p.stderr}
	root.AddCommand(
		p.serveCommand(),
		p.initCommand(),
		cli.NewLoginCommand(streams, os.LookupEnv),
		cli.NewLogoutCommand(streams, os.LookupEnv),
		cli.NewKeysCommand(streams, os.LookupEnv),
		cli.NewOrgsCommand(streams, os.LookupEnv),
		cli.NewMembersCommand(streams, os.LookupEnv),
		p.usersCommand(streams),
		p.scanCommand(streams),
		p.auditCommand(streams),
		p.migrateCommand(),
		p.backupCommand(),
		p.copyCommand(),
		p.nodesCommand(),
		p.rulesCommand(),
		p.versionCommand(),
	)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetHelpCommand(helpCommand())
	root.InitDefaultHelpCmd()
	// Cobra would add it later, and then it would not know what wrong usage is.
	root.InitDefaultCompletionCmd()
	cli.WrapUsageErrors(root)
	return root
}

// helpCommand is cobra's, but for a topic that does not exist, which is wrong usage and no reason to show all help.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Short:   "Help about any command",
		Long:    "Print the help of a command, the same as its --help.",
		Example: "  apikeyd help keys create",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return cli.UsageError(fmt.Errorf("there is no command %q", strings.Join(args, " ")))
			}
			return found.Help()
		},
	}
}

// loadConfig reads the settings whose flags cmd has, from flags, environment and file. A bad one is wrong usage,
// wherever it stands.
func (p *program) loadConfig(cmd *cobra.Command) (*config.Config, []config.Problem, error) {
	f, isFile := p.stderr.(*os.File)
	c, warnings, err := config.Load(config.Source{
		Flags:     cmd.Flags(),
		LookupEnv: os.LookupEnv,
		Environ:   os.Environ(),
		Rules:     cmd.Name() == rulesTest,
		Terminal:  isFile && term.IsTerminal(int(f.Fd())),
	})
	if err != nil {
		return nil, nil, cli.UsageError(err)
	}
	return c, warnings, nil
}

// groupSettings shows the settings among a command's flags under headings, as the reference does.
func groupSettings(cmd *cobra.Command) {
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprintf(cmd.OutOrStderr(), "Usage:\n  %s\n\nExamples:\n%s\n\n%s", cmd.UseLine(), cmd.Example,
			config.FlagUsages(cmd.Flags(), helpColumns))
		return err
	})
}

// helpColumns is the width that help is wrapped at.
const helpColumns = 110
