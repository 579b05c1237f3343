package app

import (
	"net"

	"github.com/apikeyd/apikeyd/internal/config"
)

// LocalURL returns how a listener is reached from this machine, without a slash at its end. bound is where it listens: its
// address as configured, or the one it was given for port 0.
func LocalURL(a config.Address, t config.TLS, bound string) string {
	scheme := "http"
	if t.Enabled() {
		scheme = "https"
	}
	if a.Network == "unix" {
		return scheme + "://localhost"
	}
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return scheme + "://" + bound
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1" // every interface: this one is always there
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
