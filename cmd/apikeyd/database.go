package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/config"
)

func (p *program) migrateCommand() *cobra.Command {
	var status bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to the schema of this version",
		Long: `Bring the schema of the database to what this version of apikeyd needs. There is no way back but a backup: take one
before. "apikeyd serve" does so by itself where the versions that use the database now can go on with the result. Where they
cannot, it does not start before this command was run, and they do not start after it.

--status changes nothing; it prints the migrations and when each was applied.`,
		Example: `  apikeyd migrate --status
  apikeyd backup before.db && apikeyd migrate`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := p.loadConfig(cmd)
			if err != nil {
				return err
			}
			if status {
				return p.printMigrations(cmd.Context(), c)
			}
			applied, err := app.Migrate(cmd.Context(), c)
			if err != nil {
				return err
			}
			for _, m := range applied {
				fmt.Fprintf(p.stdout, "applied %d %s\n", m.Number, m.Name)
			}
			if len(applied) == 0 {
				fmt.Fprintln(p.stdout, "the schema is up to date")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&status, "status", false, "only print which migrations are applied")
	config.AddFlags(cmd.Flags(), "config", "database")
	return cmd
}

func (p *program) printMigrations(ctx context.Context, c *config.Config) error {
	migrations, err := app.Migrations(ctx, c)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NUMBER\tNAME\tAPPLIED")
	for _, m := range migrations {
		applied := "not yet"
		if !m.AppliedAt.IsZero() {
			applied = m.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", m.Number, m.Name, applied)
	}
	return w.Flush()
}

func (p *program) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a copy of the database to a new file, while the server runs",
		Long: `Write a consistent copy of the database to FILE, which must not exist yet. The server may go on; what it commits
after the copy began is not in it.

To restore: stop the server, put the copy in the place of the database, remove the files beside it that end in -wal
and -shm, and start the server. Keys that were deleted after the backup are good again then: delete them once more.`,
		Example: `  apikeyd backup /backups/apikeyd-$(date +%F).db`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("name the one file to write to, such as: apikeyd backup copy.db")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := p.loadConfig(cmd)
			if err != nil {
				return err
			}
			return app.Backup(cmd.Context(), c, args[0])
		},
	}
	config.AddFlags(cmd.Flags(), "config", "database")
	return cmd
}
