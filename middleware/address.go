package middleware

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// address returns the address of the client, "" where it is not known, as with a unix socket. A key with a list of addresses is
// refused then.
//
// Proxies add to X-Forwarded-For at its end. So it is read from there, up to the first address that is no trusted proxy's: what
// stands before that, the client may have made up.
func (s *settings) address(r *http.Request) string {
	from, ok := parseHop(r.RemoteAddr)
	if !ok {
		return ""
	}
	if len(s.trusted) == 0 {
		return textOf(from, r.RemoteAddr)
	}
	if s.trusts(from) {
		hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
		for _, hop := range slices.Backward(hops) {
			before, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				break
			}
			if from = before; !s.trusts(from) {
				break
			}
		}
	}
	return from.String()
}

// textOf returns an address as text, that of the connection's other end without a copy where it is the same.
func textOf(address netip.Addr, remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if same, parseErr := netip.ParseAddr(host); err == nil && parseErr == nil && same == address {
		return host
	}
	return address.String()
}

// parseHop reads an address with a port or without. Some proxies write IPv6 in brackets without one, too.
func parseHop(text string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	address, err := netip.ParseAddr(withoutBrackets(text))
	return address.Unmap().WithZone(""), err == nil
}

// withoutBrackets takes the brackets from "[2001:db8::1]", and from nothing that is not IPv6.
func withoutBrackets(text string) string {
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.Contains(inner, ":") {
		if address, ok := strings.CutSuffix(inner, "]"); ok {
			return address
		}
	}
	return text
}

func (s *settings) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(s.trusted, func(p netip.Prefix) bool { return p.Contains(address) })
}
