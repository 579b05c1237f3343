package throttle

import "net/netip"

// AddressGroup names those who are one for a limit: an IPv4 address, also where it is written as an IPv6 one, or the /64
// that an IPv6 address is in, since whoever has one address there has all of them. Callers whose address is not known,
// as on a unix socket, are one group.
func AddressGroup(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}
