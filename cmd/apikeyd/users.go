package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
)

// usersCommand is the client's, and what is done on the server.
func (p *program) usersCommand(streams cli.Streams) *cobra.Command {
	cmd := cli.NewUsersCommand(streams, os.LookupEnv)
	cmd.AddCommand(p.signInLinkCommand())
	return cmd
}

func (p *program) signInLinkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign-in-link EMAIL",
		Short: "On the server: print a one-time link for somebody to sign in with",
		Long: `Print a one-time link for the user with this e-mail address: for a first sign-in, or where a password was lost. It
works once, and for 15 minutes, and whoever has it signs in as that user.

The command writes to the database itself, so it is for those who operate the server; the server may go on meanwhile.
--public-url says where people reach it.`,
		Example: `  apikeyd users sign-in-link you@example.com
  apikeyd users sign-in-link you@example.com --public-url https://keys.example.com`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("name the one user, such as: apikeyd users sign-in-link you@example.com")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := p.loadConfig(cmd)
			if err != nil {
				return err
			}
			link, err := app.MakeLink(cmd.Context(), c, args[0])
			if err != nil {
				return inTermsOfFlags(err)
			}
			_, err = fmt.Fprintln(p.stdout, app.SignInURL(serverURL(c), link))
			return err
		},
	}
	config.AddFlags(cmd.Flags(), "config", "database", "listen", "tls-cert-file", "tls-key-file", "public-url")
	return cmd
}
