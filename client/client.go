// Package client calls apikeyd from Go: Client manages keys, organizations and their members, Verifier asks whether a key
// may do a thing.
//
// They are two types because they are two addresses with two credentials. The management API faces the internet and
// is called with an API key, or in the session of somebody who has signed in; the verification listener faces a company's own services and is called with nothing on
// loopback, or with a token that those services share. A program that checks keys should not hold one that can make
// them.
//
// An error that the server reports comes back as an *api.Error, which errors.Is compares by code:
//
//	if errors.Is(err, api.ErrNotFound) { … }
//
// An answer that is not apikeyd's, such as a proxy's error page, is a *ResponseError.
//
// Requests that failed are sent again where that is safe; Retry says when. Redirects are never followed: they would
// carry the credential to wherever the answer points. A credential is in no error of this package, and nothing that
// prints a Client or a Verifier shows it.
//
// The package imports the standard library and package api, and nothing else.
package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// Client calls the management API. It may be used by several goroutines at once.
type Client struct{ conn *conn }

// New returns a client of the management API at server, for instance "https://keys.example.com" or
// "http://127.0.0.1:8080". The address may have a path, where a proxy serves apikeyd under one; it must not hold
// credentials, a query or a fragment. "unix:/run/apikeyd.sock" is a unix socket.
//
// Nothing is sent until the first call.
func New(server string, options ...Option) (*Client, error) {
	s, err := apply(options)
	if err != nil {
		return nil, err
	}
	if s.verifyToken != nil {
		return nil, errors.New("WithVerifyToken is for NewVerifier; the management API takes WithAPIKey or WithSession")
	}
	if s.apiKey != nil && s.session != nil {
		return nil, errors.New("WithAPIKey and WithSession exclude each other: a request has one caller")
	}
	retry := Retry{Attempts: 4, FirstDelay: 100 * time.Millisecond, MaxDelay: 2 * time.Second, MaxRetryAfter: 30 * time.Second}
	conn, err := newConn(server, s, defaults{credential: s.apiKey, retry: retry, timeout: 30 * time.Second})
	if err != nil {
		return nil, err
	}
	return &Client{conn}, nil
}

// String names the server.
func (c *Client) String() string { return fmt.Sprintf("client of %s", c.conn.server) }

// CloseIdleConnections closes the connections that are kept for the next call.
func (c *Client) CloseIdleConnections() { c.conn.http.CloseIdleConnections() }

// Me tells who the caller is: the user, the user's organizations and roles, and the key that was used.
func (c *Client) Me(ctx context.Context) (api.Me, error) {
	me, _, err := send(ctx, c.conn, request{
		method: http.MethodGet, path: []string{"v1", "me"}, success: http.StatusOK, idempotent: true,
	}, func(me api.Me) error {
		if me.UserID <= 0 {
			return errors.New("it names no user")
		}
		return nil
	})
	return me, err
}
