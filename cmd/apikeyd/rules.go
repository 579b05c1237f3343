package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/rules"
)

// rulesTest is the command that reads the rules and no setting.
const rulesTest = "test"

func (p *program) rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rules",
		Short:   "Look at the rules for an API behind apikeyd",
		Long:    "Rules stand in the file that --config names, and say what requests to an API behind apikeyd need.",
		Example: "  apikeyd rules test GET /accounts/7 --config /etc/apikeyd/apikeyd.toml",
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(p.rulesTestCommand())
	return cmd
}

func (p *program) rulesTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   rulesTest + " METHOD PATH",
		Short: "Say what a request needs, and which rule says so",
		Long: `Say what a request to the API needs, and which rule says so. Nothing is asked of a server: the rules are those of the
file, which may be another than the one that the server runs with.

PATH is what a client sends, with or without a query. The exit code is 0 where the request may be allowed, 1 where it is
refused whatever key it comes with, and 2 where the file cannot be used.`,
		Example: `  apikeyd rules test GET /accounts/7 --config /etc/apikeyd/apikeyd.toml

  # an escaped slash: refused, because the API may take it for one or not
  apikeyd rules test DELETE /accounts%2F7`,
		Args: func(_ *cobra.Command, args []string) error {
			switch names := []string{"METHOD", "PATH"}; {
			case len(args) < len(names):
				return fmt.Errorf("%s is missing", names[len(args)])
			case len(args) > len(names):
				return fmt.Errorf("METHOD and PATH are enough; %q is one too many", args[len(names)])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return p.testRules(cmd, args[0], args[1]) },
	}
	config.AddFlags(cmd.Flags(), "config")
	return cmd
}

func (p *program) testRules(cmd *cobra.Command, method, target string) error {
	c, warnings, err := p.loadConfig(cmd)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(p.stderr, w)
	}
	path, err := rules.CleanPath(target)
	if err != nil {
		return fmt.Errorf("refused: the path %w, so that others may take it for another path than a rule does", err)
	}
	if c.Rules.Mistakable(method, path) {
		return errors.New("refused: the path is that of a rule in other upper and lower case, so that others may take it for the one in the rule")
	}
	need, number := c.Rules.Match(method, path)
	if c.File == "" {
		fmt.Fprintln(p.stderr, "apikeyd: no file with rules was given; --config, or APIKEYD_CONFIG, names it")
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "request\t%s %s\nrule\t%s\nneeds\t%s\n", cli.Visible(method), cli.Visible(path),
		cli.Visible(describeRule(c.Rules, number)), describeNeed(need))
	if err := w.Flush(); err != nil {
		return err
	}
	if upper := strings.ToUpper(method); need == (rules.Need{}) && method != upper {
		return fmt.Errorf("refused: no rule is about the method %q, nor is a scope; methods are written in upper case, as %s", method, upper)
	}
	if need == (rules.Need{}) {
		return errors.New("refused: no scope covers this method, and no rule names one for it")
	}
	return nil
}

// describeRule says which rule has matched, and why.
func describeRule(set *rules.Set, number int) string {
	if number == rules.Default {
		return fmt.Sprintf("none of %d: the method says what is needed", set.Len())
	}
	r := set.Rule(number)
	text := fmt.Sprintf("%d of %d, at %s: path %q", number+1, set.Len(), r.Place, r.Path)
	switch {
	case len(r.Methods) > 0:
		text += fmt.Sprintf(", methods %q", r.Methods)
	default:
		text += ", every method"
	}
	if r.Need.ByMethod {
		text += ", the method says what is needed"
	}
	return text
}

func describeNeed(need rules.Need) string {
	switch {
	case need.Public:
		return "nothing: it is public"
	case need.Scope == 0:
		return "what no key has"
	default:
		return "a key with the scope " + need.Scope.String()
	}
}
