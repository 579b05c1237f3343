package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ParseProxies reads IP addresses and networks in CIDR notation with commas between them. An address stands for the
// network that is itself alone.
func ParseProxies(text string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for element := range strings.SplitSeq(text, ",") {
		prefix, err := parseProxy(strings.TrimSpace(element))
		if err != nil {
			return nil, err
		}
		all = append(all, prefix)
	}
	return all, nil
}

func parseProxy(text string) (netip.Prefix, error) {
	const right = "write addresses and networks like 192.0.2.1, 10.0.0.0/8, 2001:db8::/32"
	if text == "" {
		return netip.Prefix{}, errors.New("has nothing where an address should be; " + right)
	}
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%s is neither an IP address nor a network; %s", quote(text), right)
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%s is an IPv4 network in IPv6 notation; write it like 10.0.0.0/8", quote(text))
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("%s is an address with the size of its network; write the network, %s, or the address alone",
			quote(text), prefix.Masked())
	}
	return prefix, nil
}
