package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/apikeyd/apikeyd/api"
)

// Subscriptions take over the connections of programs that check keys for themselves.
type Subscriptions interface {
	// Ready says why there can be no further one now.
	Ready() error
	// Accept takes a connection over; r is where it is read from.
	Accept(conn net.Conn, r io.Reader) error
}

type subscriptions struct{ all Subscriptions }

func (h subscriptions) routes() []route {
	return []route{{method: http.MethodGet, pattern: "/v1/subscribe", serve: h.subscribe}}
}

// subscribe changes the protocol of the connection. From the answer on it is not HTTP's any more.
func (h subscriptions) subscribe(x *exchange) error {
	if !upgrades(x.r) {
		return &problem{code: api.CodeMalformedRequest, detail: "this is for a connection that is to be changed, with HTTP/1.1 and the headers " +
			"Connection: Upgrade and Upgrade: " + api.SubscriptionProtocol}
	}
	if err := h.all.Ready(); err != nil {
		return &problem{code: api.CodeUnavailable, cause: err, detail: "there can be no further subscription at the moment"}
	}
	conn, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return err
	}
	x.status = http.StatusSwitchingProtocols
	if err := h.change(conn, buffered, x.id); err != nil {
		_ = conn.Close() // who is gone does not miss it, and who is one too many comes again
	}
	return nil
}

// upgrades reports whether a request asks for the protocol.
func upgrades(r *http.Request) bool {
	connection := strings.Split(strings.Join(r.Header["Connection"], ","), ",")
	asked := false
	for _, option := range connection {
		asked = asked || strings.EqualFold(strings.TrimSpace(option), "upgrade")
	}
	return asked && r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.Header.Get("Upgrade") == api.SubscriptionProtocol
}

func (h subscriptions) change(conn net.Conn, buffered *bufio.ReadWriter, requestID string) error {
	if _, err := buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + api.SubscriptionProtocol +
		"\r\nX-Request-Id: " + requestID + "\r\n\r\n"); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return h.all.Accept(conn, buffered.Reader)
}
