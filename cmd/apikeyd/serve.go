package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// The first user and organization of a server that is started without init before.
const (
	firstEmail        = "admin@localhost"
	firstOrganization = "My organization"
)

func (p *program) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: the management API for your customers, and the verification API for your own services.

In an empty database it first makes a user, an organization and a key with every scope, and prints them once. Run
"apikeyd init" before it to choose their names.

SIGTERM or Ctrl-C drains: requests under way are answered, then the server exits with 0. A second signal ends it at
once. Every flag has an environment variable (--verify-listen is APIKEYD_VERIFY_LISTEN) and a key in the file that
--config names; flags win over the environment, and that over the file.`,
		Example: `  # everything in this folder, reachable on port 8080; checks on 127.0.0.1:8081
  apikeyd serve

  # checks from other machines, which must present a token from the file
  apikeyd serve --verify-listen :8081 --verify-token-file /etc/apikeyd/verify-token

  # settings from a file
  apikeyd serve --config /etc/apikeyd.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd) },
	}
	config.AddFlags(cmd.Flags())
	groupSettings(cmd)
	return cmd
}

func (p *program) serve(cmd *cobra.Command) error {
	c, warnings, err := p.loadConfig(cmd)
	if err != nil {
		return err
	}
	// Whoever reads the log may go away. To the log that is a write that fails; it is no reason to die.
	signal.Ignore(syscall.SIGPIPE)
	writer := telemetry.NewWriter(p.stderr)
	// That lines are lost could be said only where they could not be written, and the server has done its work without.
	defer func() { _ = writer.Close() }()
	log := telemetry.NewLogger(writer, telemetry.Format(c.LogFormat), c.LogLevel)
	for _, w := range warnings {
		log.Warn(w.Reason, "place", w.Place)
	}
	ctx := cmd.Context()
	reload := reloadSignal(c)
	a, err := app.Open(ctx, c, app.Options{
		Log:      log,
		LogLost:  writer.Lost,
		Requests: telemetry.NewRequestLog(writer, telemetry.Format(c.LogFormat), c.LogLevel),
		Build:    build(),
	})
	if err != nil {
		return unlessStopped(ctx, err)
	}
	err = p.initialiseIfEmpty(ctx, a, c)
	if err == nil {
		debug.FreeOSMemory() // what starting has left behind: with the ballast it would stay
		ballast := newBallast()
		go reloadRules(a, reload)
		err = a.Run(ctx)
		runtime.KeepAlive(ballast)
	}
	return errors.Join(unlessStopped(ctx, err), a.Close())
}

// unlessStopped returns nil where err says only that somebody has stopped the server before it was ready: they have got
// what they want.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// reloadSignal returns what SIGHUP comes from. Without a configuration file there is nothing to read again, and the signal ends the
// process as ever.
func reloadSignal(c *config.Config) <-chan os.Signal {
	signals := make(chan os.Signal, 1) // one that waits is enough, however many come
	if c.File != "" {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals
}

// reloadRules reads the rules again for each signal, for as long as the process lives.
func reloadRules(a *app.App, signals <-chan os.Signal) {
	for range signals {
		a.ReloadRules()
	}
}

// newBallast returns memory that is held while the server runs and never touched, so that the operating system does not
// have to provide it. The garbage collector runs when the heap has doubled: with little in the cache that would be every
// few thousand requests, which costs a twentieth of the processor time of a check. With the ballast it is every
// twenty thousand. An operator who sets GOGC knows better.
func newBallast() []byte {
	const size = 32 << 20
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return make([]byte, size)
}

// initialiseIfEmpty does what init does where nobody has done it, and prints what came of it.
func (p *program) initialiseIfEmpty(ctx context.Context, a *app.App, c *config.Config) error {
	done, err := a.Initialised(ctx)
	if err != nil || done {
		return err
	}
	made, err := a.Initialise(ctx, firstEmail, firstOrganization)
	if errors.Is(err, &key.Error{Code: key.Conflict}) {
		return nil // another node has done it, and prints it
	}
	if err != nil {
		return err
	}
	q := quickstart{
		management:   managementURL(c, a.ManagementAddr()),
		verification: endpointOf(c.VerifyListen, c.VerifyTLS, a.VerificationAddr()),
		tokenFile:    c.VerifyTokenFile,
		signIn:       a.SignInURL(made.Link),
		made:         made,
	}
	if _, err := fmt.Fprint(p.stdout, q); err != nil {
		// Without it nobody has the key, and there is no second time.
		return fmt.Errorf("print the first key: %w; empty %s and start again", err, c.Database)
	}
	return nil
}

// build says which program this is.
func build() telemetry.Build { return telemetry.ReadBuild(version, commit) }

// version and commit are set when a release is built; see the Makefile.
var version, commit string

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  apikeyd version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := build()
			_, err := fmt.Fprintf(p.stdout, "apikeyd %s\ncommit  %s\ngo      %s\n", b.Version, b.Commit, b.Go)
			return err
		},
	}
}
