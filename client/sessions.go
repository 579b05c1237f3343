package client

import (
	"context"
	"errors"
	"iter"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
)

// sessionCookie is the cookie that holds the secret of a session.
const sessionCookie = "__Host-apikeyd"

func sessionPath(segments ...string) []string { return append([]string{"v1", "sessions"}, segments...) }

// SignIn begins a session with an e-mail address and a password. It returns the session and its secret, which is what
// WithSession takes: whoever has it is signed in. It sends no credential of c's, and c goes on with the one it has.
//
// What is wrong is not told: an unknown address is api.ErrUnauthenticated as a wrong password is. Too many attempts are
// api.ErrRateLimited.
func (c *Client) SignIn(ctx context.Context, email, password string) (session api.Session, secret string, err error) {
	return c.signIn(ctx, api.NewSession{Email: email, Password: password}, password)
}

// SignInWithLink is SignIn with the secret of a one-time link: the last part of its address. It uses the link up.
func (c *Client) SignInWithLink(ctx context.Context, link string) (session api.Session, secret string, err error) {
	return c.signIn(ctx, api.NewSession{Link: link}, link)
}

func (c *Client) signIn(ctx context.Context, s api.NewSession, secret string) (api.Session, string, error) {
	r := request{
		method: http.MethodPost, path: sessionPath(), body: s, secrets: []string{secret}, success: http.StatusCreated,
		anonymous: true,
	}
	session, header, err := send(ctx, c.conn, r, isSession)
	if err != nil {
		return api.Session{}, "", err
	}
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		if cookie.Name == sessionCookie && cookie.Value != "" {
			return session, cookie.Value, nil
		}
	}
	a := answer{status: r.success, mediaType: "application/json"}
	return api.Session{}, "", c.conn.foreign(r, a, "it sets no cookie "+sessionCookie)
}

func sessions(o PageOptions) listing[api.Session] {
	return listing[api.Session]{path: sessionPath(), query: parameters{}.page(o), check: isSession}
}

// ListSessions returns one page of the caller's live sessions, newest first. AllSessions goes on to the pages after it.
// As EndSession, SignOut and SetPassword it needs a session: see WithSession.
func (c *Client) ListSessions(ctx context.Context, o PageOptions) (Page[api.Session], error) {
	return sessions(o).page(ctx, c.conn)
}

// AllSessions returns the caller's live sessions from o.Cursor to the last, as AllKeys does keys.
func (c *Client) AllSessions(ctx context.Context, o PageOptions) iter.Seq2[api.Session, error] {
	return sessions(o).all(ctx, c.conn)
}

// EndSession ends one of the caller's sessions. Of a second attempt the same is true as in DeleteKey.
func (c *Client) EndSession(ctx context.Context, sessionID int64) error {
	return c.endSession(ctx, idSegment(sessionID))
}

// SignOut ends the session that c acts in. Where the connection breaks and a second attempt finds the session ended, the
// error is api.ErrUnauthenticated, as it is where it had ended before.
func (c *Client) SignOut(ctx context.Context) error { return c.endSession(ctx, "current") }

func (c *Client) endSession(ctx context.Context, which string) error {
	_, err := c.conn.try(ctx, request{
		method: http.MethodDelete, path: sessionPath(which), success: http.StatusNoContent, idempotent: true,
	}, nil)
	return err
}

// SetPassword sets the caller's password and ends all other sessions of theirs. A wrong current password is
// api.ErrInvalid at /current_password.
//
// An error that does not come from the server (see Retry) leaves open whether it was set; signing in tells.
func (c *Client) SetPassword(ctx context.Context, p api.NewPassword) error {
	_, err := c.conn.try(ctx, request{
		method: http.MethodPut, path: []string{"v1", "me", "password"}, body: p,
		secrets: []string{p.NewPassword, p.CurrentPassword}, success: http.StatusNoContent,
	}, nil)
	return err
}

// RequestSignInLink has a one-time link mailed to an address, if a user has it; the answer does not tell. Where the
// server sends no mail, it is api.ErrConflict. It sends no credential of c's.
func (c *Client) RequestSignInLink(ctx context.Context, email string) error {
	_, err := c.conn.try(ctx, request{
		method: http.MethodPost, path: []string{"v1", "sign-in-links"}, body: api.LinkRequest{Email: email},
		success: http.StatusAccepted, anonymous: true,
	}, nil)
	return err
}

func isSession(s api.Session) error {
	if s.SessionID <= 0 {
		return errors.New("it holds a session without an id")
	}
	return nil
}
