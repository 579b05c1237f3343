package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/client"
)

// credentials are what a sign-in keeps for the commands after it: the server, and a session or an API key. They are one
// thing: a credential goes to no server but the one that it is kept for.
type credentials struct {
	Server  string `json:"server"`
	Session string `json:"session,omitempty"`
	Key     string `json:"api_key,omitempty"`
}

func (c *credentials) connect() (*client.Client, error) {
	if c.Session != "" {
		return connectTo(c.Server, client.WithSession(c.Session))
	}
	return connectTo(c.Server, client.WithAPIKey(c.Key))
}

// credentialsPath is where they are kept.
func (s *session) credentialsPath() (string, error) {
	folder, err := s.configDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for credentials: %w", err)
	}
	return filepath.Join(folder, "apikeyd", "credentials.json"), nil
}

// credentials returns what is kept for the server that the flags or the environment name, or for any where they name
// none. It returns nil where nothing is kept, and an error where what is kept is for another server.
func (s *session) credentials(cmd *cobra.Command) (*credentials, error) {
	c, err := s.kept()
	if err != nil || c == nil {
		return nil, err
	}
	if server, given := s.givenServer(cmd); given && !sameServer(server, c.Server) {
		return nil, usagef("no credential for %s: you are signed in to %s", server, c.Server)
	}
	return c, nil
}

// givenServer returns the server that the flags or the environment name, if they do.
func (s *session) givenServer(cmd *cobra.Command) (server string, given bool) {
	variable, _ := s.lookupEnv(envServer)
	return s.fromFlagOrEnv(cmd, "server", envServer), variable != "" || cmd.Flags().Changed("server")
}

func sameServer(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }

// kept returns what is kept, and nil where nothing is.
func (s *session) kept() (*credentials, error) {
	path, err := s.credentialsPath()
	if err != nil {
		return nil, nil // a user without a home keeps nothing
	}
	content, err := readPrivate(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	c := new(credentials)
	if err := json.Unmarshal(content, c); err != nil || (c.Session == "") == (c.Key == "") {
		return nil, damaged(path)
	}
	if _, err := c.connect(); err != nil {
		return nil, damaged(path)
	}
	return c, nil
}

// damaged says so of a file whose content is not repeated: it may hold a secret.
func damaged(path string) error {
	return fmt.Errorf("%s is damaged; sign in again with \"apikeyd login\", or remove it", path)
}

// readPrivate returns the content of a file that its owner alone can read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case mode.Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to others (its mode is %04o), who may have read the credential in it\n"+
			"to keep it: chmod 600 %[1]s; to be safe, sign in again and end the other session", path, mode.Perm())
	}
	return io.ReadAll(io.LimitReader(f, maxSecret))
}

// pendingFile is a file that is written beside the one whose place it takes.
type pendingFile struct {
	temporary *os.File
	path      string
}

// prepareCredentials does all that could fail about keeping credentials before there are any, since a one-time link
// that is used up does not come back.
func (s *session) prepareCredentials() (*pendingFile, error) {
	path, err := s.credentialsPath()
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(folder, 0o700); err != nil { // it may have been there before
		return nil, err
	}
	f, err := os.CreateTemp(folder, ".credentials-*") // with the mode 0600
	if err != nil {
		return nil, err
	}
	return &pendingFile{f, path}, nil
}

// keep writes c and puts the file in its place.
func (p *pendingFile) keep(c credentials) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if _, err := p.temporary.Write(append(b, '\n')); err != nil {
		return err
	}
	if err := p.temporary.Sync(); err != nil {
		return err
	}
	if err := p.temporary.Close(); err != nil {
		return err
	}
	return os.Rename(p.temporary.Name(), p.path)
}

// discard leaves nothing behind where keep did not succeed.
func (p *pendingFile) discard() {
	p.temporary.Close()
	os.Remove(p.temporary.Name())
}
