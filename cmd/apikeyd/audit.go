package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
)

// auditCommand is the client's, and what is done on the server.
func (p *program) auditCommand(streams cli.Streams) *cobra.Command {
	cmd := cli.NewAuditCommand(streams, os.LookupEnv)
	cmd.AddCommand(p.verifyAuditCommand())
	return cmd
}

func (p *program) verifyAuditCommand() *cobra.Command {
	var expected string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "On the server: find the first audit entry that was altered, removed or inserted",
		Long: `Go through the audit log in the database and say whether it is what was written: no entry altered, removed or
inserted. It is not where the command exits with 1 and names the first such entry. The server may go on meanwhile.

The log is a chain of hashes, and its end is printed as ID:HASH. Whoever can write to the database could write the whole
chain anew; against them, keep that line somewhere else and give it to --expect the next time.`,
		Example: `  apikeyd audit verify
  apikeyd audit verify --expect 1204:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, hash, err := parseEnd(expected)
			if err != nil {
				return cli.UsageError(err)
			}
			c, _, err := p.loadConfig(cmd)
			if err != nil {
				return err
			}
			x, err := app.VerifyAudit(cmd.Context(), c, id, hash)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "the audit log is what was written: %d entries\nend  %d:%s\n",
				x.Last.ID-x.Pruned.ID, x.Last.ID, x.Last.Hash)
			return err
		},
	}
	cmd.Flags().StringVar(&expected, "expect", "", "an end of the log, ID:HASH, as it was printed before; it must be in the log still")
	config.AddFlags(cmd.Flags(), "config", "database")
	return cmd
}

// parseEnd reads an end of the log; "" is none.
func parseEnd(text string) (id int64, hash string, err error) {
	if text == "" {
		return 0, "", nil
	}
	number, hash, _ := strings.Cut(text, ":")
	id, err = strconv.ParseInt(number, 10, 64)
	if err != nil || id < 1 || len(hash) != 64 {
		return 0, "", errors.New("--expect must be ID:HASH as audit verify prints it")
	}
	return id, hash, nil
}
