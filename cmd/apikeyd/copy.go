package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
)

func (p *program) copyCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "copy --from DSN --to DSN",
		Short: "Move everything from SQLite to an empty PostgreSQL database",
		Long: `Copy everything from an SQLite file to a PostgreSQL database that is empty: keys with their ids and tokens, users,
organizations, sessions, and the audit log with its chain. Then compare every row with the one it came from. Only when
all are the same is anything kept: until then, and after any interruption, the database is as empty as before, and the
command can be run again.

Stop the server first, because a change that came while its file is copied would be lost; the command refuses to begin
where one runs. Where the schema is not there yet, it is created.

Everybody on the machine can see a command line in ps. Leave the password out of --to, and put it in the file that
PGPASSFILE names (~/.pgpass by default) or in the variable PGPASSWORD.`,
		Example: `  systemctl stop apikeyd
  apikeyd copy --from sqlite:/var/lib/apikeyd/apikeyd.db --to postgres://apikeyd@db.internal:5432/apikeyd`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			source, err := parseDatabase("from", from)
			if err != nil {
				return err
			}
			target, err := parseDatabase("to", to)
			if err != nil {
				return err
			}
			if err := app.CheckCopy(source, target); err != nil {
				return cli.UsageError(err)
			}
			shown := newProgress(p.stderr)
			rows, err := app.Copy(cmd.Context(), source, target, shown.tell)
			shown.end()
			switch {
			case errors.Is(err, context.Canceled):
				return errors.New("interrupted; the database is as empty as before, and the command can be run again")
			case err != nil:
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "copied and compared %d rows. Start the server with the new --database, and put %s away:\n"+
				"keys that are deleted from now on are still good in it\n", rows, source.Path)
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the SQLite file to copy, as sqlite:`PATH`")
	cmd.Flags().StringVar(&to, "to", "", "the empty database to fill, as `postgres://USER@HOST:PORT/NAME`")
	for _, name := range []string{"from", "to"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that was not defined above
		}
	}
	return cmd
}

func parseDatabase(flag, text string) (config.Database, error) {
	d, err := config.ParseDatabase(text)
	if err != nil {
		return d, cli.UsageError(fmt.Errorf("--%s: %w", flag, err))
	}
	return d, nil
}

// progress shows how far a copy has got: as a bar on a terminal, else as a line for each table that is through.
type progress struct {
	out   io.Writer
	bar   bool
	shown time.Time
	open  bool // the bar stands in a line that is not ended
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, bar: ok && term.IsTerminal(int(f.Fd()))}
}

const (
	barWidth = 30
	barEvery = 100 * time.Millisecond
)

func (p *progress) tell(now app.CopyProgress) {
	if !p.bar {
		if now.Finished() {
			fmt.Fprintf(p.out, "%s %s: %d rows\n", now.Step, now.Table, now.Rows)
		}
		return
	}
	if last := now.All == now.Total; !last && time.Since(p.shown) < barEvery {
		return
	}
	p.shown, p.open = time.Now(), true
	share := float64(1)
	if now.Total > 0 {
		share = float64(now.All) / float64(now.Total)
	}
	full := int(share * barWidth)
	fmt.Fprintf(p.out, "\r[%s%s] %3d %%  %s %s\x1b[K", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), int(share*100),
		now.Step, now.Table)
}

// end leaves the line of the bar.
func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.out)
	}
}
