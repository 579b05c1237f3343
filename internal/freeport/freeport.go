// Package freeport finds ports for servers of tests that have to say where they will listen, or come back to where they were.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports that systems hand out to nobody who asks for any, to listen or to connect: one that was free stays so until it is used.
const (
	lowest  = 20_000
	highest = 32_767
)

// Find returns a port at which nobody listens on 127.0.0.1.
func Find() (port int, err error) {
	const tries = 100
	for range tries {
		port = lowest + rand.IntN(highest-lowest+1)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no port of %d was free: %w", tries, err)
}

// Address is Find, with the host: "127.0.0.1:20000".
func Address() (string, error) {
	port, err := Find()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}
