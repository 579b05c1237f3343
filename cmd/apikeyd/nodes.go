package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/store"
)

func (p *program) nodesCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "On the server: list the nodes that serve one PostgreSQL database",
		Long: `List the nodes that serve the database: their version, their lease, how many changes each has yet to apply, how many
changes of others had to wait for it since it joined and how long on average, and how long ago it renewed its lease, by the
clocks of the database and this machine. A node that was not renewed for longer than
its lease is dead, frozen or cut off: the first change that finds it so waits for that lease to end, and takes the node out
of the list.

The command reads the database itself, so it is for those who operate the server.`,
		Example: `  apikeyd nodes --config /etc/apikeyd/apikeyd.toml
  apikeyd nodes -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return cli.UsageError(fmt.Errorf("--output: %q is none of table, json", output))
			}
			c, _, err := p.loadConfig(cmd)
			if err != nil {
				return err
			}
			nodes, last, err := app.Nodes(cmd.Context(), c)
			switch {
			case err != nil:
				return err
			case output == "json":
				return p.printNodesJSON(nodes, last)
			}
			return p.printNodes(nodes, last, time.Now())
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "print table or json, as `FORMAT`")
	config.AddFlags(cmd.Flags(), "config", "database")
	return cmd
}

func (p *program) printNodes(nodes []store.Node, last int64, now time.Time) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tVERSION\tLEASE\tBEHIND\tWAITS\tEACH\tRENEWED")
	for _, n := range nodes {
		// Another machine's text goes to a terminal: quoted, nothing in it is obeyed.
		name, version := printable(n.Name), printable(n.Version)
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%d\t%s\t%s ago\n", n.ID, name, version, n.Lease, behind(n, last), n.Waits, eachWait(n),
			sinceRenewal(n, now))
	}
	return w.Flush()
}

// printable is text as it is, or quoted where a terminal could take offence.
func printable(text string) string {
	if quoted := strconv.Quote(text); quoted[1:len(quoted)-1] != text {
		return quoted
	}
	return text
}

func behind(n store.Node, last int64) int64 { return max(0, last-n.Applied) }

// eachWait is how long a change has waited for a node on average.
func eachWait(n store.Node) time.Duration {
	return (n.Waited / time.Duration(max(1, n.Waits))).Round(time.Millisecond)
}

// sinceRenewal is 0 where this machine's clock is behind the database's.
func sinceRenewal(n store.Node, now time.Time) time.Duration {
	return max(0, now.Sub(n.RenewedAt).Round(100*time.Millisecond))
}

func (p *program) printNodesJSON(nodes []store.Node, last int64) error {
	type node struct {
		ID        int64     `json:"node_id"`
		Name      string    `json:"node_name"`
		Version   string    `json:"version"`
		Lease     int64     `json:"lease_ms"`
		Behind    int64     `json:"changes_behind"`
		Waits     int64     `json:"waits"`
		Waited    int64     `json:"waited_ms"`
		StartedAt time.Time `json:"started_at"`
		RenewedAt time.Time `json:"renewed_at"`
	}
	list := make([]node, len(nodes))
	for i, n := range nodes {
		list[i] = node{n.ID, n.Name, n.Version, n.Lease.Milliseconds(), behind(n, last), n.Waits, n.Waited.Milliseconds(), n.StartedAt, n.RenewedAt}
	}
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	return e.Encode(list)
}
