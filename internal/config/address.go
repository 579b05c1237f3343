package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Address is what a listener listens on: net.Listen(a.Network, a.Address).
type Address struct {
	Network string // "tcp" or "unix"
	Address string // "HOST:PORT", where HOST is an IP address, a host name or empty; or the path of a socket
}

const (
	unixScheme = "unix:"
	// maxSocketPath is the longest path that fits in a sockaddr_un on every system: 104 bytes on the BSDs and macOS,
	// 108 on Linux, with a zero byte at the end.
	maxSocketPath = 103
)

// hostName is a name that a resolver may know. A last label of digits would make it a misspelt IPv4 address, which
// some resolvers take for one ("127.1") and others do not.
var hostName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?\.?$`)

const maxHostName = 253

// ParseAddress reads "HOST:PORT", ":PORT" or "unix:PATH".
//
// "localhost" becomes 127.0.0.1 here and is never looked up, so that what Local says of it is what the listener
// then does, whatever a resolver or a hosts file thinks the name means.
func ParseAddress(text string) (Address, error) {
	if path, ok := strings.CutPrefix(text, unixScheme); ok {
		return parseSocket(path)
	}
	const right = "write HOST:PORT like 127.0.0.1:8081, :8081 for every interface, or unix:/path/to.sock"
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Address{}, fmt.Errorf("%s is no address; %s", quote(text), right)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("%s has no port that is a number from 0 to 65535; %s", quote(text), right)
	}
	if host, err = parseHost(host); err != nil {
		return Address{}, fmt.Errorf("%s has %w; %s", quote(text), err, right)
	}
	return Address{Network: "tcp", Address: net.JoinHostPort(host, strconv.FormatUint(number, 10))}, nil
}

func parseHost(host string) (string, error) {
	if host == "" {
		return "", nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), nil
	}
	if len(host) > maxHostName || !hostName.MatchString(host) {
		return "", errors.New("a host that is neither an IP address nor a host name")
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return "127.0.0.1", nil
	}
	return host, nil
}

func parseSocket(path string) (Address, error) {
	const right = "write unix:/path/to.sock"
	switch {
	case path == "":
		return Address{}, errors.New("unix: names no socket; " + right)
	case strings.HasPrefix(path, "//"):
		return Address{}, errors.New("a path begins right behind unix:, with one slash; " + right)
	case strings.HasPrefix(path, "@") || strings.ContainsRune(path, 0):
		// An abstract socket is guarded by no file permission: whoever shares the network namespace may connect.
		return Address{}, errors.New("a socket must be a file, which permissions guard; " + right)
	case strings.HasSuffix(path, "/"):
		return Address{}, errors.New("unix: names a folder; " + right)
	case len(path) > maxSocketPath:
		return Address{}, fmt.Errorf("the path of a socket may have %d bytes, not %d", maxSocketPath, len(path))
	}
	return Address{Network: "unix", Address: path}, nil
}

// String returns the address as it is written in a setting.
func (a Address) String() string {
	if a.Network == "unix" {
		return unixScheme + a.Address
	}
	return a.Address
}

// Local reports whether nothing outside this machine can reach the address: a unix socket or a loopback IP address.
// An address that stands for every interface is not local, nor is a host name, whatever it resolves to just now.
func (a Address) Local() bool {
	if a.Network == "unix" {
		return true
	}
	ip, _, err := a.split()
	return err == nil && ip.Unmap().IsLoopback()
}

// loopback reports whether a host in a URL or an address is this machine, by its name alone.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
	}
	return ip.Unmap().IsLoopback()
}

// Overlaps reports whether two listeners could not have both addresses. Port 0 is another port each time.
func (a Address) Overlaps(b Address) bool {
	if a.Network != b.Network || a == (Address{}) {
		return false
	}
	if a.Network == "unix" {
		return filepath.Clean(a.Address) == filepath.Clean(b.Address)
	}
	ipA, portA, _ := a.split()
	ipB, portB, _ := b.split()
	if portA != portB || portA == "0" {
		return false
	}
	switch {
	case a.Address == b.Address, a.everywhere(), b.everywhere():
		return true
	case ipA.IsUnspecified(): // 0.0.0.0: every IPv4 address, and perhaps what a host name stands for
		return !ipB.Is6() || ipB.Is4In6()
	case ipB.IsUnspecified():
		return !ipA.Is6() || ipA.Is4In6()
	default:
		return ipA.IsValid() && ipA.Unmap() == ipB.Unmap()
	}
}

// everywhere reports whether the address stands for every interface, IPv4 and IPv6.
func (a Address) everywhere() bool {
	ip, _, err := a.split()
	return a.Network == "tcp" && (err != nil && strings.HasPrefix(a.Address, ":") || ip == netip.IPv6Unspecified())
}

// split returns the parts of a TCP address; the error is that its host is no IP address.
func (a Address) split() (ip netip.Addr, port string, err error) {
	host, port, err := net.SplitHostPort(a.Address)
	if err != nil {
		return netip.Addr{}, "", err
	}
	ip, err = netip.ParseAddr(host)
	return ip, port, err
}
