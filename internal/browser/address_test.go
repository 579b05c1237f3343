package browser

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	const proxy, client, other = "10.0.0.1:4711", "203.0.113.9", "198.51.100.7"
	trusted := Client{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	for _, c := range []struct {
		name      string
		client    Client
		remote    string
		forwarded []string
		want      string
	}{
		{"no proxy", Client{}, client + ":1", nil, client},
		{"nobody is trusted", Client{}, proxy, []string{client}, "10.0.0.1"},
		{"a stranger makes something up", trusted, other + ":1", []string{client}, other},
		{"a trusted proxy", trusted, proxy, []string{client}, client},
		{"a trusted proxy that adds nothing", trusted, proxy, nil, "10.0.0.1"},
		{"the client makes something up", trusted, proxy, []string{"1.1.1.1, 10.0.0.2, " + client}, client},
		{"two proxies", trusted, proxy, []string{client + ", 10.0.0.2"}, client},
		{"two proxies, an untrusted one before", trusted, proxy, []string{client + ", " + other + ", 10.0.0.2"}, other},
		{"proxies of both families", trusted, "[fd00::1]:1", []string{client + ",fd12::1,10.9.9.9"}, client},
		{"nobody but proxies", trusted, proxy, []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},

		{"many headers", trusted, proxy, []string{client, "10.0.0.3", "10.0.0.2"}, client},
		{"many headers, and the client's first", trusted, proxy, []string{"1.1.1.1", client}, client},
		{"an empty header at the end", trusted, proxy, []string{client, ""}, "10.0.0.1"},
		{"thousands of hops", trusted, proxy, []string{client + strings.Repeat(",10.0.0.2", 5000)}, client},

		{"IPv6", Client{}, "[2001:db8::1]:1", nil, "2001:db8::1"},
		{"IPv6 with a zone", Client{}, "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"IPv4 in IPv6", Client{}, "[::ffff:203.0.113.9]:1", nil, client},
		{"IPv4 in IPv6 is a trusted proxy", trusted, "[::ffff:10.0.0.1]:1", []string{client}, client},
		{"a trusted proxy with a zone", trusted, "[fd00::1%eth0]:1", []string{client}, client},
		{"IPv6 behind a proxy, in its shortest form", trusted, proxy, []string{"2001:DB8:0:0:0:0:0:1"}, "2001:db8::1"},
		{"IPv4 in IPv6 behind a proxy", trusted, proxy, []string{"::ffff:203.0.113.9"}, client},
		{"a zone behind a proxy", trusted, proxy, []string{"fe80::1%x"}, "fe80::1"},
		{"a port", trusted, proxy, []string{client + ":4711"}, client},
		{"brackets", trusted, proxy, []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"brackets around nothing", trusted, proxy, []string{"[]"}, "10.0.0.1"},
		{"brackets around IPv4", trusted, proxy, []string{"[203.0.113.9]"}, "10.0.0.1"},
		{"half a bracket", trusted, proxy, []string{"[2001:db8::1"}, "10.0.0.1"},
		{"a port behind IPv6", trusted, proxy, []string{"[2001:db8::1]:4711"}, "2001:db8::1"},

		{"garbage", trusted, proxy, []string{"garbage"}, "10.0.0.1"},
		{"garbage before the client", trusted, proxy, []string{"\x00<script>, " + client}, client},
		{"garbage behind the client", trusted, proxy, []string{client + ", unknown, 10.0.0.2"}, "10.0.0.2"},
		{"commas", trusted, proxy, []string{",,,"}, "10.0.0.1"},
		{"leading zeros", trusted, proxy, []string{"203.0.113.009"}, "10.0.0.1"},
		{"a network", trusted, proxy, []string{"203.0.113.0/24"}, "10.0.0.1"},
		{"white space", trusted, proxy, []string{" \t" + client + "\t, 10.0.0.2 "}, client},

		{"a unix socket", trusted, "@", []string{client}, ""},
		{"a unix socket with a path", trusted, "/run/x.sock", []string{client}, ""},
		{"no address", trusted, "", []string{client}, ""},
		{"a name", trusted, "localhost:1", []string{client}, ""},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded, "Forwarded": {"for=1.1.1.1"}, "X-Real-Ip": {"1.1.1.1"}}}
		if got := c.client.Address(r); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		r = r.WithContext(ConnContext(t.Context(), from{text: c.remote}))
		r.RemoteAddr = ""
		if got := c.client.Address(r); got != c.want {
			t.Errorf("%s, and the connection's address is known: %q, want %q", c.name, got, c.want)
		}
	}
}

// from is a connection from an address.
type from struct {
	net.Conn
	text string
}

func (c from) RemoteAddr() net.Addr { return c }
func (c from) Network() string      { return "tcp" }
func (c from) String() string       { return c.text }
