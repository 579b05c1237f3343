package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/key"
)

func (p *program) initCommand() *cobra.Command {
	var email, organization string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init --email E --organization NAME",
		Short: "Create the database with a first user, organization and key",
		Long: `Create the schema, the first user (owner of the organization, instance admin), the organization, and a key with
every scope. The key is printed once, and nowhere else; so is the address to sign in at, which works once and for 15
minutes. "apikeyd users sign-in-link" makes another.

"apikeyd serve" does the same on an empty database, under names of its own. A database that is initialised already is
left as it is, and init exits with 1.`,
		Example: `  apikeyd init --email you@example.com --organization "Example Ltd"

  # for a script: one line of JSON on standard output
  KEY=$(apikeyd init --email you@example.com --organization Example --json | jq -r .key)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := p.loadConfig(cmd)
			if err != nil {
				return err
			}
			made, err := app.Initialise(cmd.Context(), c, email, organization)
			if err != nil {
				return inTermsOfFlags(err)
			}
			return p.printInitialised(made, app.SignInURL(serverURL(c), made.Link), asJSON)
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "e-mail address of the first user")
	cmd.Flags().StringVar(&organization, "organization", "", "name of the first organization")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON")
	config.AddFlags(cmd.Flags(), "config", "database", "token-prefix", "listen", "tls-cert-file", "tls-key-file", "public-url")
	for _, name := range []string{"email", "organization"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that was not defined above
		}
	}
	return cmd
}

// serverURL returns how a server with these settings is reached by people: as the operator says, or from this machine.
func serverURL(c *config.Config) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	return app.LocalURL(c.Listen, c.TLS, c.Listen.Address)
}

func (p *program) printInitialised(made admin.Initialised, signInURL string, asJSON bool) error {
	var err error
	if asJSON {
		err = json.NewEncoder(p.stdout).Encode(struct {
			UserID         int64  `json:"user_id"`
			OrganizationID int64  `json:"organization_id"`
			KeyID          int64  `json:"key_id"`
			Key            string `json:"key"`
			SignInURL      string `json:"sign_in_url"`
		}{made.UserID, made.OrganizationID, made.KeyID, made.Token.Reveal(), signInURL})
	} else {
		_, err = fmt.Fprintf(p.stdout, "user_id          %d\norganization_id  %d\nkey_id           %d\nkey              %s\nsign_in_url      %s\n",
			made.UserID, made.OrganizationID, made.KeyID, made.Token.Reveal(), signInURL)
	}
	if err != nil {
		return errors.Join(errors.New("the database is initialised, but its key could not be printed; remove the database and start again"), err)
	}
	if !asJSON {
		fmt.Fprintln(p.stderr, "Key and address are shown this once; the address works once, and for 15 minutes. Start the server with: apikeyd serve")
	}
	return nil
}

// inTermsOfFlags says what is wrong in terms of the command: a fault of a field is one of the flag of that name.
func inTermsOfFlags(err error) error {
	e, ok := errors.AsType[*key.Error](err)
	switch {
	case !ok:
		return err
	case len(e.Faults) == 0:
		return errors.New(e.Detail)
	}
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = "--" + strings.TrimPrefix(f.Pointer, "/") + " " + f.Detail
	}
	return cli.UsageError(errors.New(strings.Join(lines, "\n")))
}
