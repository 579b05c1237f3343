package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
)

const sessionsPath = "/v1/sessions"

// sessions are the handlers of /v1/sessions, and of the one-time links that begin one.
type sessions struct {
	admin *admin.Service
	guard *browser.Guard
}

func (h sessions) routes() []route {
	return []route{
		{method: http.MethodPost, pattern: sessionsPath, public: true, writes: true, consumes: []string{typeJSON}, maxBody: maxBody,
			serve: endpoint(h.readSignIn, h.signIn)},
		{method: http.MethodGet, pattern: sessionsPath, writes: true, serve: endpoint(readSessionList, h.list)},
		{method: http.MethodDelete, pattern: sessionsPath + "/current", serve: endpoint(nothing, h.signOut)},
		{method: http.MethodDelete, pattern: sessionsPath + "/{session_id}", serve: endpoint(readID, h.end)},
		{method: http.MethodPost, pattern: "/v1/sign-in-links", public: true, consumes: []string{typeJSON}, maxBody: maxBody,
			serve: endpoint(h.readLinkRequest, h.requestLink)},
	}
}

// signIn is what somebody signs in with: an e-mail address and a password, or a link.
type signIn struct {
	email, password, link string
	browser               admin.Browser
	old                   string // the secret of the session that the browser has already
}

var newSession = shape[signIn]{
	{name: "email", read: func(s *signIn, v value) { s.email, _ = v.string() }},
	{name: "password", read: func(s *signIn, v value) { s.password, _ = v.string() }},
	{name: "link", read: func(s *signIn, v value) { s.link, _ = v.string() }},
}

func (h sessions) readSignIn(in *input) (s signIn, err error) {
	if err := h.guard.Check(in.x.r); err != nil {
		return s, crossSite(err)
	}
	s.browser, s.old = admin.Browser{Device: browser.Device(in.x.r)}, browser.Session(in.x.r)
	if agent := in.x.r.UserAgent(); !mayBeSecret(agent) { // it is kept and shown
		s.browser.UserAgent = agent
	}
	if err := body(in, newSession, &s); err != nil || len(in.faults.list) > 0 {
		return s, err
	}
	switch {
	case s.link != "" && (s.email != "" || s.password != ""):
		in.faults.invalid("/link", "must stand alone: send email and password, or link")
	case s.link == "" && s.email == "" && s.password == "":
		in.faults.invalid("/email", "is required, with password; or send link")
	case s.link == "" && s.email == "":
		in.faults.invalid("/email", "is required with password")
	case s.link == "" && s.password == "":
		in.faults.invalid("/password", "is required with email")
	}
	return s, nil
}

func (h sessions) signIn(ctx context.Context, c admin.Caller, s signIn) (answer, error) {
	if old, err := h.admin.Authenticate(ctx, s.old); err == nil {
		c.SessionID = old.ID
	}
	var started admin.Started
	var err error
	if s.link != "" {
		started, err = h.admin.SignInWithLink(ctx, c, s.link, s.browser)
	} else {
		started, err = h.admin.SignIn(ctx, c, s.email, s.password, s.browser)
	}
	if err != nil {
		return answer{}, withoutToken(err)
	}
	wire := h.wireSession(&started.Session)
	wire.Current = true
	return answer{status: http.StatusCreated, body: wire,
		cookies: browser.SignedIn(started.Secret, started.Device, started.ExpiresAt)}, nil
}

// withoutToken makes the challenge of a refusal one that does not speak of a bad token: none was sent (RFC 6750, section 3.1).
func withoutToken(err error) error {
	if rule, ok := errors.AsType[*key.Error](err); ok && rule.Code == key.Unauthenticated {
		return &problem{code: api.CodeUnauthenticated, challenge: challenge, detail: rule.Detail, cause: rule.Err}
	}
	return err
}

func readSessionList(in *input) (page, error) { return in.page(sessionsPath), nil }

func (h sessions) list(ctx context.Context, c admin.Caller, list page) (answer, error) {
	found, more, err := h.admin.Sessions(ctx, c, list.before, list.limit)
	return listAnswer(list, found, more, err, func(s *key.Session) api.Session {
		wire := h.wireSession(s)
		wire.Current = s.ID == c.SessionID
		return wire
	}, func(s *key.Session) int64 { return s.ID })
}

func (h sessions) signOut(ctx context.Context, c admin.Caller, _ struct{}) (answer, error) {
	return h.end(ctx, c, c.SessionID)
}

func (h sessions) end(ctx context.Context, c admin.Caller, id int64) (answer, error) {
	a := answer{status: http.StatusNoContent}
	if id == c.SessionID {
		a.cookies = browser.SignedOut()
	}
	return a, h.admin.EndSession(ctx, c, id)
}

var linkRequest = shape[string]{
	{name: "email", required: true, read: func(email *string, v value) { *email, _ = v.email() }},
}

func (h sessions) readLinkRequest(in *input) (email string, err error) {
	if err := h.guard.Check(in.x.r); err != nil {
		return "", crossSite(err)
	}
	return email, body(in, linkRequest, &email)
}

func (h sessions) requestLink(ctx context.Context, c admin.Caller, email string) (answer, error) {
	return answer{status: http.StatusAccepted}, h.admin.RequestLink(ctx, c, email)
}

// wireSession is a session as it is sent.
func (h sessions) wireSession(s *key.Session) api.Session {
	return api.Session{
		SessionID:  s.ID,
		UserID:     s.UserID,
		Method:     api.SessionMethod(s.Method.String()),
		IP:         s.IP,
		UserAgent:  s.UserAgent,
		CreatedAt:  api.Time{Time: s.CreatedAt},
		LastUsedAt: api.Time{Time: s.LastUsedAt},
		ExpiresAt:  api.Time{Time: h.admin.SessionEnds(s)},
	}
}
