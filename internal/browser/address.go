package browser

import (
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

// Address returns the address of the client, "" where it is not known, as with a unix socket.
//
// Each proxy adds the address it was called from at the end of X-Forwarded-For. So the list is read from its end, up to the
// first address that is no trusted proxy's: what stands before that, the client may have made up.
func (c Client) Address(r *http.Request) string {
	address, ok := parseHop(r.RemoteAddr)
	if !ok {
		return ""
	}
	if len(c.Trusted) == 0 {
		return address.String()
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !c.trusts(address) {
			break
		}
		before, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		address = before
	}
	return address.String()
}

// parseHop reads one address of X-Forwarded-For. Some proxies add the port.
func parseHop(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		address = withPort.Addr()
	}
	return address.Unmap().WithZone(""), true
}

func (c Client) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(c.Trusted, func(p netip.Prefix) bool { return p.Contains(address) })
}
