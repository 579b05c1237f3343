package browser

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// originOf returns scheme, host and port of an address.
func originOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + u.Host, nil
}

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
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	address = address.Unmap().WithZone("")
	if len(c.Trusted) == 0 {
		return address.String()
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !c.trusts(address) {
			break
		}
		before, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		address = before.Unmap().WithZone("")
	}
	return address.String()
}

func (c Client) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(c.Trusted, func(p netip.Prefix) bool { return p.Contains(address) })
}
