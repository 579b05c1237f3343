package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/apikeyd/apikeyd/internal/cluster"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/subscribe"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// newHub returns the checker with its subscribers. Their leases are told by how much time goes by, whatever time it is.
func newHub(c *config.Config, checker *verify.Checker, several bool, lease *cluster.Lease, log *slog.Logger) (*subscribe.Hub, error) {
	o := subscribe.Options{Cache: checker, Tokens: checker, Lease: subscribe.MaxLease, Now: time.Now, Log: log}
	if several {
		o.Left, o.Lease = lease.Left, min(subscribe.MaxLease, c.Lease/2)
	} else {
		m, err := newMarker(c.Database.Path)
		if err != nil {
			return nil, err
		}
		o.Memory = m
	}
	return subscribe.New(o)
}

// marker is a file beside the database, which is there while a process grants leases to subscribers, and when it was killed. Nothing
// has to be in the file, nor on the disk: whoever starts the machine anew has waited for longer than a lease.
type marker string

// newMarker returns that of the database at a path. Two names of one file have one marker.
func newMarker(database string) (marker, error) {
	path, err := filepath.EvalSymlinks(database)
	if err != nil {
		return "", fmt.Errorf("find the database: %w", err)
	}
	return marker(path + ".subscribers"), nil
}

// Marked reports whether there is the file.
func (m marker) Marked() (bool, error) {
	_, err := os.Stat(string(m))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Mark makes it.
func (m marker) Mark() error { return os.WriteFile(string(m), nil, 0o600) }

// Clear removes it.
func (m marker) Clear() error { return os.Remove(string(m)) }
