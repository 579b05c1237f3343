package app

import (
	"net"

	"github.com/apikeyd/apikeyd/internal/config"
)

// LocalURL returns how a listener is reached from this machine, without a slash at its end.
func LocalURL(a config.Address, t config.TLS, bound net.Addr) string {
	scheme := "http"
	if t.Enabled() {
		scheme = "https"
	}
	if a.Network == "unix" {
		return scheme + "://localhost"
	}
	host, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return scheme + "://" + bound.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1" // every interface: this one is always there
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
