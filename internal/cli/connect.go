package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

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
	addText(cmd, "server", "URL", defaultServer, "address of the management API (env "+envServer+")")
	addText(cmd, "key", "KEY", "", "API key to act with; \"-\" reads it from standard input. Everybody on this machine\n"+
		"can see a flag in ps, so prefer the environment or --key-file (env "+envKey+")")
	addText(cmd, "key-file", "FILE", "", "file whose first line is the API key")
}

// connect returns a client as the flags and the environment want it.
func (s *session) connect(cmd *cobra.Command) (*client.Client, error) {
	key, err := s.apiKey(cmd)
	if err != nil {
		return nil, err
	}
	c, err := client.New(s.fromFlagOrEnv(cmd, "server", envServer), client.WithAPIKey(key), client.WithUserAgent(userAgent))
	if err != nil {
		return nil, UsageError(err)
	}
	return c, nil
}

func (s *session) apiKey(cmd *cobra.Command) (string, error) {
	if err := exclusive(cmd, "key", "key-file"); err != nil {
		return "", err
	}
	if file := cmd.Flags().Lookup("key-file"); file.Changed {
		return secretFromFile("--key-file", file.Value.String())
	}
	key := s.fromFlagOrEnv(cmd, "key", envKey)
	switch {
	case key == "-" && cmd.Flags().Changed("key"):
		return s.secretFromInput("API key")
	case key == "":
		return "", usagef("no API key; set %s, or give --key-file FILE", envKey)
	}
	return key, nil
}

// addVerifierFlags adds what is needed to reach the verification listener.
func addVerifierFlags(cmd *cobra.Command) {
	addText(cmd, "verify-server", "URL", defaultVerifyServer,
		"address of the verification listener, or unix:/path\n(env "+envVerifyServer+")")
	addText(cmd, "verify-token-file", "FILE", "",
		"file whose first line is the bearer token that the listener asks for,\nif it does (env "+envVerifyTokenFile+")")
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
func (s *session) secretFromInput(what string) (string, error) {
	if f, ok := s.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(s.Err, "%s: ", what)
		typed, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.Err)
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", what, err)
		}
		return firstLine(strings.NewReader(string(typed)))
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
