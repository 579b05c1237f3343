package throttle

import (
	"net/netip"
	"testing"
)

func TestAddressGroup(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7%eth0", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8:1:2::", "2001:db8:1:2::/64"},
		{"2001:db8:1:3:3:4:5:6", "2001:db8:1:3::/64"},
		{"fe80::1%eth0", "fe80::/64"},
		{"::1", "::/64"},
	} {
		if got := AddressGroup(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("AddressGroup(%s) = %s, want %s", tt.addr, got, tt.want)
		}
	}
	if got := AddressGroup(netip.Addr{}); got == "" || got == AddressGroup(netip.IPv4Unspecified()) {
		t.Errorf("no address is in the group %q", got)
	}
}
