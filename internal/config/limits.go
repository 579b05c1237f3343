package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// The values of limits-fallback.
const (
	FallbackOpen   = "open"   // each node counts by itself
	FallbackClosed = "closed" // checks of limited keys are refused
)

// LimitsStore is the server that counts requests against limits for several nodes. The zero LimitsStore is none.
type LimitsStore struct {
	URL          Secret // which may hold a password
	PasswordFile string
	Password     Secret // as it stood in PasswordFile at the start; goes before that of the URL
}

// Enabled reports whether there is a server.
func (s LimitsStore) Enabled() bool { return s.URL.Given() }

// parseLimitsStore reads "redis://…" or "rediss://…". Its errors do not repeat the text, which may hold a password.
func parseLimitsStore(text string) (Secret, error) {
	const right = "write redis://USER:PASSWORD@HOST:PORT/DATABASE, all but the host may be left out, or rediss:// for TLS"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Scheme != "redis" && u.Scheme != "rediss":
		return Secret{}, errors.New("is no URL of a Redis or Valkey server; " + right)
	case u.Hostname() == "":
		return Secret{}, errors.New("names no host; " + right)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return Secret{}, errors.New("has a query or a fragment, which is of no use here; ? and # in a password are written %3F and %23")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return Secret{}, errors.New("has no port that is a number from 1 to 65535; " + right)
		}
	}
	if database := strings.TrimPrefix(u.Path, "/"); database != "" {
		if _, err := strconv.ParseUint(database, 10, 16); err != nil {
			return Secret{}, errors.New("has no number of a database behind the host; " + right)
		}
	}
	return Secret{text}, nil
}

// checkLimits refuses what has no effect without a store of limits, and reads its password.
func (l *loader) checkLimits() {
	const name, passwordFile, fallback = "limits-store", "limits-store-password-file", "limits-fallback"
	s := &l.config.LimitsStore
	if !l.good(name, passwordFile, fallback) {
		return
	}
	if !s.Enabled() {
		if s.PasswordFile != "" {
			l.lacks(passwordFile, name)
		}
		if l.config.LimitsFallback != FallbackOpen {
			l.lacks(fallback, name)
		}
		return
	}
	if s.PasswordFile != "" {
		readSecrets(l, passwordFile, s.PasswordFile, maxSecretFile, &s.Password, ParseSecret)
	}
	u, err := url.Parse(s.URL.Reveal())
	if err != nil {
		return
	}
	_, given := u.User.Password()
	if u.Scheme == "redis" && (given || s.PasswordFile != "") && !loopback(u.Hostname()) {
		l.warn(l.place(name), fmt.Sprintf("the password reaches %s unencrypted; write rediss://, unless the network is encrypted", u.Host))
	}
}
