package app

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/internal/config"
)

// certificateInterval is how long a renewed certificate may lie there before it is shown.
const certificateInterval = 10 * time.Second

// certificate is what a listener shows to prove who it is. Its files are read again when they have changed, which is found out when
// somebody connects: whoever renews a certificate need not restart anything. Where the new files cannot be used, as while they are
// being written, the old certificate stays, and the log says why. Its methods are safe for concurrent use.
type certificate struct {
	files config.TLS
	every time.Duration
	log   *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	read   [2]os.FileInfo // the files as they were when they were read last; nil: that one was not there
	looked time.Time      // when they were looked at last
}

// newCertificate looks at the files, before they are read: of what changes meanwhile, it has the older state.
func newCertificate(files config.TLS, log *slog.Logger) *certificate {
	c := &certificate{files: files, every: certificateInterval, log: log, looked: time.Now()}
	c.read = c.look()
	return c
}

// show has a server show the certificate, beginning with the one that it was configured with.
func (c *certificate) show(t *tls.Config) {
	c.pair = &t.Certificates[0]
	t.Certificates, t.GetCertificate = nil, c.get
}

// get is for tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= c.every {
		c.looked = now
		c.renew()
	}
	return c.pair, nil
}

// renew reads the files again where they have changed.
func (c *certificate) renew() {
	now := c.look()
	if same(now[0], c.read[0]) && same(now[1], c.read[1]) {
		return
	}
	c.read = now
	pair, err := c.files.Certificate()
	if err != nil {
		c.log.Error("certificate is not read again, the old one stays", "file", c.files.CertFile, "not_after", c.pair.Leaf.NotAfter, "error", err)
		return
	}
	c.pair = pair
	c.log.Info("certificate is read again", "file", c.files.CertFile, "not_after", pair.Leaf.NotAfter)
}

// look looks at the files, and not into them.
func (c *certificate) look() (found [2]os.FileInfo) {
	for i, path := range []string{c.files.CertFile, c.files.KeyFile} {
		if info, err := os.Stat(path); err == nil {
			found[i] = info
		}
	}
	return found
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
