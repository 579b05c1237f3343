package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/client"
)

// The environment variables of the client commands.
const (
	envServer          = "APIKEYD_SERVER"
	envKey             = "APIKEYD_KEY"
	envVerifyServer    = "APIKEYD_VERIFY_SERVER"
	envVerifyTokenFile = "APIKEYD_VERIFY_TOKEN_FILE" // as of "apikeyd serve": one file serves both sides
)

const (
	defaultServer       = "http://127.0.0.1:8080"
	defaultVerifyServer = "http://127.0.0.1:8081"

	userAgent = "apikeyd-cli"
	maxSecret = 64 << 10 // bytes of a file that is read for a secret
)

// fromFlagOrEnv returns the flag's value where the flag was given, else the variable's where that is not empty, else
// the flag's default.
func (s *session) fromFlagOrEnv(cmd *cobra.Command, flag, variable string) string {
	f := cmd.Flags().Lookup(flag)
	if v, ok := s.lookupEnv(variable); ok && v != "" && !f.Changed {
		return v
	}
	return f.Value.String()
}

// addServerFlags adds what every command needs to reach the management API.
func addServerFlags(cmd *cobra.Command) {
	addServer(cmd)
	addKeyFlags(cmd, "API key to act with; \"-\" reads it from standard input. Everybody\n"+
		"on this machine can see a flag in ps, so prefer the environment or\n--key-file (env "+envKey+")")
}

func addServer(cmd *cobra.Command) {
	addText(cmd, "server", "URL", defaultServer, "address of the management API (env "+envServer+"; without either, where\n"+
		"you are signed in)")
}

func addKeyFlags(cmd *cobra.Command, usage string) {
	addText(cmd, "key", "KEY", "", usage)
	addText(cmd, "key-file", "FILE", "", "file whose first line is the API key")
}

// connect returns a client as the flags and the environment want it. Where they name no key, it acts as whoever has
// signed in.
func (s *session) connect(cmd *cobra.Command) (*client.Client, error) {
	key, given, err := s.apiKey(cmd)
	if err != nil {
		return nil, err
	}
	if given {
		return connectTo(s.fromFlagOrEnv(cmd, "server", envServer), client.WithAPIKey(key))
	}
	c, err := s.credentials(cmd)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, usagef("no API key; set %s, give --key-file FILE, or sign in with \"apikeyd login\"", envKey)
	}
	return c.connect()
}

// connectSession returns a client that acts in the session of whoever has signed in, for what can be done in no other
// way. It takes no notice of API keys.
func (s *session) connectSession(cmd *cobra.Command) (*client.Client, error) {
	c, err := s.credentials(cmd)
	switch {
	case err != nil:
		return nil, err
	case c == nil:
		return nil, usagef("you are not signed in; \"apikeyd login\" signs in")
	case c.Session == "":
		return nil, usagef("this takes a session, and what \"apikeyd login\" has kept is an API key; " +
			"sign in with --email or --link")
	}
	return c.connect()
}

// connectTo returns a client of the server.
func connectTo(server string, options ...client.Option) (*client.Client, error) {
	c, err := client.New(server, append(options, client.WithUserAgent(userAgent))...)
	if err != nil {
		return nil, UsageError(err)
	}
	return c, nil
}

// apiKey returns the key that the flags or the environment give, if they do.
func (s *session) apiKey(cmd *cobra.Command) (key string, given bool, err error) {
	if err := exclusive(cmd, "key", "key-file"); err != nil {
		return "", false, err
	}
	flag, file := cmd.Flags().Lookup("key"), cmd.Flags().Lookup("key-file")
	key = s.fromFlagOrEnv(cmd, "key", envKey)
	switch {
	case file.Changed:
		key, err = secretFromFile("--key-file", file.Value.String())
	case flag.Changed && key == "-":
		key, err = s.secretFromInput(cmd.Context(), "API key")
	case flag.Changed && key == "":
		err = usagef("--key: must not be empty")
	}
	return key, key != "", err
}

// addVerifierFlags adds what is needed to reach the verification listener.
func addVerifierFlags(cmd *cobra.Command) {
	addText(cmd, "verify-server", "URL", defaultVerifyServer,
		"address of the verification listener, or unix:/path\n(env "+envVerifyServer+")")
	addText(cmd, "verify-token-file", "FILE", "",
		"file whose first line is the bearer token that the listener asks for,\nif it does (env "+envVerifyTokenFile+")")
}

// AddVerifierFlags adds the flags that ConnectVerifier reads. It is for commands outside of this package.
func AddVerifierFlags(cmd *cobra.Command) { addVerifierFlags(cmd) }

// ConnectVerifier returns a verifier as the flags of cmd and the environment want it. lookupEnv is as in NewKeysCommand.
func ConnectVerifier(cmd *cobra.Command, streams Streams, lookupEnv func(string) (string, bool)) (*client.Verifier, error) {
	return newSession(streams, lookupEnv).connectVerifier(cmd)
}

// connectVerifier returns a verifier as the flags and the environment want it.
func (s *session) connectVerifier(cmd *cobra.Command) (*client.Verifier, error) {
	options := []client.Option{client.WithUserAgent(userAgent)}
	if path := s.fromFlagOrEnv(cmd, "verify-token-file", envVerifyTokenFile); path != "" {
		token, err := secretFromFile("--verify-token-file", path)
		if err != nil {
			return nil, err
		}
		options = append(options, client.WithVerifyToken(token))
	}
	v, err := client.NewVerifier(s.fromFlagOrEnv(cmd, "verify-server", envVerifyServer), options...)
	if err != nil {
		return nil, UsageError(err)
	}
	return v, nil
}

// secretFromFile returns the first line of a file that is not empty.
func secretFromFile(flag, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", UsageError(fmt.Errorf("%s: %w", flag, err))
	}
	defer f.Close()
	secret, err := firstLine(f)
	if err != nil {
		return "", UsageError(fmt.Errorf("%s: %s: %w", flag, path, err))
	}
	return secret, nil
}

// secretFromInput returns the first line of standard input that is not empty. A person who types it does not see it.
func (s *session) secretFromInput(ctx context.Context, what string) (string, error) {
	if s.inIsTerminal() {
		typed, err := s.typed(ctx, what)
		if err != nil {
			return "", err
		}
		return firstLine(strings.NewReader(typed))
	}
	secret, err := firstLine(s.In)
	if err != nil {
		return "", UsageError(fmt.Errorf("%s from standard input: %w", what, err))
	}
	return secret, nil
}

func firstLine(r io.Reader) (string, error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxSecret))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			return line, nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", errors.New("there is nothing in it")
}
