package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/client"
)

// NewLoginCommand returns "login". lookupEnv is os.LookupEnv, but for tests.
func NewLoginCommand(streams Streams, lookupEnv func(string) (string, bool)) *cobra.Command {
	return newLoginCommand(newSession(streams, lookupEnv))
}

func newLoginCommand(s *session) *cobra.Command {
	var mail bool
	cmd := &cobra.Command{
		Use:   "login --email EMAIL | --link LINK | --key KEY",
		Short: "Sign in, for the commands that come after",
		Long: `Sign in to a server. The commands that come after act as you, on that server, wherever they are given no API key: the
server's address and the session are kept in apikeyd/credentials.json in your folder of configuration (on Linux
~/.config), which you alone can read. "apikeyd logout" ends the session.

--email asks for the password, or takes it from the first line of standard input. --link takes a one-time link, as
whoever invited you, the server's operator or a mail has given it to you: all of it, or what comes after its last slash.
"-" asks for it, or reads it from standard input. A link works once, within 15 minutes of being made.

With --mail-link nobody is signed in yet: the server mails a one-time link to the address, if a user has it.

--key keeps an API key in place of a session. Then nothing is done in a session of yours, and the key's scopes count.

The server is that of --server, else of APIKEYD_SERVER, else that of the link, else the one you signed in to before.`,
		Example: `  apikeyd login --server https://keys.example.com --email ada@example.com

  # without a password, or to set a new one: with a link
  apikeyd login --email ada@example.com --mail-link
  apikeyd login --link -
  apikeyd users password

  # in a script
  apikeyd login --email ada@example.com < password.txt
  apikeyd login --key - < key.txt`,
		Args: cobra.NoArgs,
	}
	email := addText(cmd, "email", "EMAIL", "", "sign in as the user with this e-mail address, with a password")
	link := addText(cmd, "link", "LINK", "", "sign in with this one-time link; \"-\" reads it from standard input")
	cmd.Flags().BoolVar(&mail, "mail-link", false, "have a one-time link mailed to the address of --email")
	addKeyFlags(cmd, "API key to keep; \"-\" reads it from standard input")
	addServer(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := exclusive(cmd, "email", "link", "key", "key-file"); err != nil {
			return err
		}
		given := cmd.Flags().Changed
		switch {
		case mail && *email == "":
			return usagef("--mail-link: to whom? Give --email too")
		case mail:
			return s.mailLink(cmd, *email)
		case given("email") && *email == "":
			return usagef("--email: must not be empty")
		case given("email"):
			return s.login(cmd, "", func(ctx context.Context, server string) (credentials, string, error) {
				return s.signInWithPassword(ctx, server, *email)
			})
		case given("link"):
			address, secret, err := s.oneTimeLink(cmd.Context(), *link)
			if err != nil {
				return err
			}
			return s.login(cmd, address, func(ctx context.Context, server string) (credentials, string, error) {
				return signInWithLink(ctx, server, secret)
			})
		case given("key"), given("key-file"):
			return s.login(cmd, "", func(ctx context.Context, server string) (credentials, string, error) {
				return s.tryKey(cmd, server)
			})
		}
		return usagef("as whom? Give one of --email, --link and --key")
	}
	return s.finish(cmd)
}

// login signs in and keeps what comes of it. address is that of the server as far as the way of signing in knows it.
func (s *session) login(
	cmd *cobra.Command, address string, signIn func(context.Context, string) (c credentials, as string, err error),
) error {
	file, err := s.prepareCredentials()
	if err != nil {
		return err
	}
	defer file.discard()
	c, as, err := signIn(cmd.Context(), s.loginServer(cmd, address))
	if err != nil {
		return err
	}
	if err := file.keep(c); err != nil {
		return errors.Join(fmt.Errorf("keep the credentials: %w", err), abandon(cmd.Context(), c))
	}
	if _, err := fmt.Fprintf(s.Out, "signed in to %s as %s\n", visible(c.Server), visible(as)); err != nil {
		return err
	}
	if key, _ := s.lookupEnv(envKey); key != "" {
		fmt.Fprintf(s.Err, "%s is set, and goes before what was kept just now.\n", envKey)
	}
	return nil
}

// loginServer returns the address of the server to sign in to.
func (s *session) loginServer(cmd *cobra.Command, ofLink string) string {
	server, given := s.givenServer(cmd)
	switch {
	case given:
		return server
	case ofLink != "":
		return ofLink
	}
	// What is wrong with a file that is about to be replaced does not matter.
	if before, err := s.kept(); err == nil && before != nil {
		return before.Server
	}
	return server
}

func (s *session) signInWithPassword(ctx context.Context, server, email string) (credentials, string, error) {
	c, err := connectTo(server)
	if err != nil {
		return credentials{}, "", err
	}
	password, err := s.password(ctx)
	if err != nil {
		return credentials{}, "", err
	}
	_, secret, err := c.SignIn(ctx, email, password)
	return credentials{Server: server, Session: secret}, email, err
}

func signInWithLink(ctx context.Context, server, link string) (credentials, string, error) {
	c, err := connectTo(server)
	if err != nil {
		return credentials{}, "", err
	}
	session, secret, err := c.SignInWithLink(ctx, link)
	return credentials{Server: server, Session: secret}, fmt.Sprintf("user %d", session.UserID), err
}

// tryKey returns the key that the flags give, once it has shown to be good.
func (s *session) tryKey(cmd *cobra.Command, server string) (credentials, string, error) {
	key, _, err := s.apiKey(cmd)
	if err != nil {
		return credentials{}, "", err
	}
	c, err := connectTo(server, client.WithAPIKey(key))
	if err != nil {
		return credentials{}, "", err
	}
	me, err := c.Me(cmd.Context())
	return credentials{Server: server, Key: key}, me.Email, err
}

// abandon ends a session that nobody will know of.
func abandon(ctx context.Context, kept credentials) error {
	if kept.Session == "" {
		return nil
	}
	c, err := kept.connect()
	if err != nil {
		return err
	}
	return c.SignOut(context.WithoutCancel(ctx))
}

func (s *session) mailLink(cmd *cobra.Command, email string) error {
	c, err := connectTo(s.loginServer(cmd, ""))
	if err != nil {
		return err
	}
	if err := c.RequestSignInLink(cmd.Context(), email); err != nil {
		return err
	}
	fmt.Fprintln(s.Err, "If a user has this address, a one-time link is on its way to it. Sign in with: apikeyd login --link -")
	return nil
}

// signInPath comes before the secret in the address of a one-time link.
const signInPath = "/sign-in/"

// oneTimeLink returns the secret of a link, and the address of its server where the link is whole. Errors do not repeat
// it.
func (s *session) oneTimeLink(ctx context.Context, link string) (server, secret string, err error) {
	if link == "-" {
		if link, err = s.secretFromInput(ctx, "One-time link"); err != nil {
			return "", "", err
		}
	}
	if before, after, whole := strings.Cut(link, signInPath); whole {
		server, link = before, after
	}
	if link == "" || path.Base(link) != link || strings.ContainsAny(link, "?#") {
		return "", "", usagef("--link: must be a link such as https://keys.example.com%s… or what comes after its last slash", signInPath)
	}
	return server, link, nil
}
