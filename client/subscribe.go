package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
)

// Subscribe opens a connection over which the server tells what it knows of keys, and what changes: api.SubscriptionProtocol has the
// rules. Most programs use it by middleware.NewCache. ctx bounds the opening alone; to close the connection ends what waits for it.
//
// It is tried once: Retry has no say.
func (v *Verifier) Subscribe(ctx context.Context) (io.ReadWriteCloser, error) {
	r := request{method: http.MethodGet, path: []string{"v1", "subscribe"}, success: http.StatusSwitchingProtocols}
	req, err := http.NewRequestWithContext(ctx, r.method, v.conn.url(r), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", api.SubscriptionProtocol)
	req.Header.Set("User-Agent", v.conn.userAgent)
	v.conn.authenticate(r, req.Header)
	res, err := v.conn.upgrading().Do(req)
	if err != nil {
		return nil, v.conn.scrubError(r, err)
	}
	if res.StatusCode != r.success {
		defer res.Body.Close()
		a := answer{status: res.StatusCode, header: res.Header, mediaType: mediaTypeOf(res.Header)}
		if a.body, err = io.ReadAll(io.LimitReader(res.Body, maxProblem)); err != nil {
			return nil, v.conn.scrubError(r, fmt.Errorf("%s %s: read the answer: %w", r.method, v.conn.url(r), err))
		}
		return nil, v.conn.refused(r, a).err
	}
	stream, ok := res.Body.(io.ReadWriteCloser)
	if !ok || res.Header.Get("Upgrade") != api.SubscriptionProtocol {
		return nil, errors.Join(fmt.Errorf("%s %s: the connection was changed to %.40q, which was not asked for", r.method, v.conn.url(r),
			res.Header.Get("Upgrade")), res.Body.Close())
	}
	return stream, nil
}

// upgrading returns an HTTP client whose connections can be taken over: it speaks HTTP/1.1, and lets them last.
func (c *conn) upgrading() *http.Client {
	h := *c.http
	h.Timeout = 0 // it would count for as long as the connection is open, and hides that it can be written to
	if t, ok := h.Transport.(*http.Transport); ok {
		t = t.Clone()
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
		t.TLSNextProto = nil
		if t.TLSClientConfig != nil {
			t.TLSClientConfig.NextProtos = nil
		}
		t.DisableKeepAlives = true // or the connection of a refusal would stay open, for nobody
		h.Transport = t
	}
	return &h
}
