package browser

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Client finds out where a request came from.
type Client struct {
	// Trusted are the proxies whose X-Forwarded-For is believed. What anybody else puts there is not looked at.
	Trusted []netip.Prefix
}

// Address returns the address of the client, "" where it is not known.
func (c Client) Address(r *http.Request) string {
	if address := c.Addr(r); address.IsValid() {
		return address.String()
	}
	return ""
}

// Addr returns the address of the client, the zero Addr where it is not known, as with a unix socket.
//
// Each proxy adds the address it was called from at the end of X-Forwarded-For. So the list is read from its end, up to the
// first address that is no trusted proxy's: what stands before that, the client may have made up.
func (c Client) Addr(r *http.Request) netip.Addr {
	address, ok := r.Context().Value(peer{}).(netip.Addr)
	if !ok {
		address = parseHop(r.RemoteAddr)
	}
	if !address.IsValid() {
		return address
	}
	return c.Behind(address, r.Header["X-Forwarded-For"])
}

// peer is what the address that a connection comes from is called in the contexts of its requests.
type peer struct{}

// ConnContext is that of an http.Server. With it, the address that a connection comes from is read once, and not for each request.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	if address := conn.RemoteAddr(); address != nil {
		return context.WithValue(ctx, peer{}, parseHop(address.String()))
	}
	return ctx
}

// Behind is Addr for who has a request from elsewhere: address is where it came from, forwarded the lines of X-Forwarded-For.
func (c Client) Behind(address netip.Addr, forwarded []string) netip.Addr {
	if len(c.Trusted) == 0 {
		return address
	}
	for _, line := range slices.Backward(forwarded) {
		for more := true; more; {
			if !c.trusts(address) {
				return address
			}
			var hop string
			line, hop, more = cutLast(line)
			before := parseHop(strings.TrimSpace(hop))
			if !before.IsValid() {
				return address
			}
			address = before
		}
	}
	return address
}

// cutLast returns the last element of a list, and what stands before it, if anything does.
func cutLast(list string) (before, last string, more bool) {
	i := strings.LastIndexByte(list, ',')
	return list[:max(i, 0)], list[i+1:], i >= 0
}

// parseHop reads one address of X-Forwarded-For, the zero Addr where it is none. Some proxies add the port, and some write IPv6 in
// brackets without one.
func parseHop(text string) (address netip.Addr) {
	if hasPort(text) { // netip could say so as well, but what it refuses it puts into words, which costs more
		pair, _ := netip.ParseAddrPort(text)
		address = pair.Addr()
	} else {
		address, _ = netip.ParseAddr(withoutBrackets(text))
	}
	return address.Unmap().WithZone("")
}

// hasPort reports whether a port follows an address: "192.0.2.1:80", "[2001:db8::1]:80".
func hasPort(text string) bool {
	i := strings.IndexByte(text, ':')
	return i >= 0 && (text[0] == '[' && strings.Contains(text, "]:") || strings.IndexByte(text[i+1:], ':') < 0)
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

func (c Client) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(c.Trusted, func(p netip.Prefix) bool { return p.Contains(address) })
}
