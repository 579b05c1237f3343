package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
)

// The templates of these pages.
const (
	pageSignIn   = "sign-in"
	pageLink     = "link"      // a one-time link, before it is used
	pageLinkUsed = "link-used" // one that is good no more
)

const (
	linkPath    = "/sign-in/link" // has a one-time link mailed
	signOutPath = "/sign-out"
)

// signInPages are those of people who have no session, or want none.
func (c *Console) signInPages() []Page {
	return []Page{
		c.page(http.MethodGet, SignInPath, c.signInForm),
		c.page(http.MethodPost, SignInPath, c.signIn),
		c.page(http.MethodPost, linkPath, c.mailLink),
		c.page(http.MethodPost, signOutPath, c.signOut),
		// Whoever comes back to the address that a form was sent to is sent to the form.
		c.page(http.MethodGet, linkPath, goTo(SignInPath)),
		c.page(http.MethodGet, signOutPath, goTo("/")),
		c.page(http.MethodGet, SignInPath+"/{secret}", c.linkForm), // last, because they match others
		c.page(http.MethodPost, SignInPath+"/{secret}", c.useLink),
	}
}

// What has been done.
const (
	noteEnded     note = "ended"
	noteSignedOut note = "signed-out"
	noteLink      note = "link"
)

var signInNotes = map[note]string{
	noteEnded:     "Your session has ended. Sign in again to go on.",
	noteSignedOut: "You are signed out.",
	noteLink:      "If somebody here has that e-mail address, a mail with a link is on its way. The link works once, and for 15 minutes.",
}

// signInPage is what the page to sign in at says.
type signInPage struct {
	Email                     string // as it was typed
	EmailError, PasswordError string
	Problem                   string // what is wrong with neither field; "": nothing
	Provider                  string // who else somebody may sign in with; "": nobody
	Mail                      bool   // a link can be mailed
	Unencrypted               bool
	To                        string   // where the reader wanted to go; "/": nowhere in particular
	Kept                      keptForm // what the reader has sent in a session that had ended
}

func (c *Console) signInForm(v *visit) error {
	to := local(v.r.URL.Query().Get(toParameter))
	if v.session.ID != 0 {
		v.goTo(onward(to), "")
		return nil
	}
	return c.showSignIn(v, http.StatusOK, signInPage{To: to})
}

// onward returns where somebody goes who has signed in.
func onward(to string) string {
	if to == "/" {
		return keysPath
	}
	return to
}

func (c *Console) showSignIn(v *visit, status int, p signInPage) error {
	if c.Provider != nil {
		p.Provider = c.ProviderName
	}
	p.Mail, p.Unencrypted = c.Mail, c.unencrypted(v.r)
	return c.show(v, status, pageSignIn, frame{Title: "Sign in", Narrow: true, Main: p})
}

// signIn signs in with e-mail address and password.
func (c *Console) signIn(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	p := signInPage{Email: v.typed("email"), To: local(v.typed("to")), Kept: v.kept()}
	password := v.r.PostForm.Get("password")
	if strings.TrimSpace(p.Email) == "" {
		p.EmailError = "Type your e-mail address."
	}
	if password == "" {
		p.PasswordError = "Type your password."
	}
	if p.EmailError != "" || p.PasswordError != "" {
		return c.showSignIn(v, http.StatusUnprocessableEntity, p)
	}
	started, err := c.Admin.SignIn(v.r.Context(), v.caller, p.Email, password, v.browser())
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil && p.Kept.Path != "" && p.Kept.User == started.UserID:
		return c.resume(v, started, p.Kept)
	case err == nil:
		v.begin(started, onward(p.To))
		return nil
	case rule == nil:
		return err
	case rule.Code == key.Unauthenticated:
		p.PasswordError = "E-mail address or password is wrong."
		return c.showSignIn(v, http.StatusUnprocessableEntity, p)
	case rule.Code == key.RateLimited:
		v.retryAfter(rule.Wait)
		p.Problem = tooMany(rule.Wait)
		return c.showSignIn(v, http.StatusTooManyRequests, p)
	default:
		return err
	}
}

// tooMany explains that somebody must wait.
func tooMany(wait time.Duration) string {
	return "There were too many attempts. Try again in " + inWords(wait) + ", or sign in with a one-time link."
}

// inWords is a time to wait, rounded up.
func inWords(wait time.Duration) string {
	n, unit := seconds(wait), "second"
	if n > 90 {
		n, unit = (n+59)/60, "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// browser returns what somebody signs in with.
func (v *visit) browser() admin.Browser {
	return admin.Browser{UserAgent: v.r.UserAgent(), Device: browser.Device(v.r)}
}

// begin gives the browser its session, and sends it where it is good for something.
func (v *visit) begin(s admin.Started, to string) {
	v.set(browser.SignedIn(s.Secret, s.Device, s.ExpiresAt)...)
	v.goTo(to, "")
}

// mailLink has a one-time link mailed.
func (c *Console) mailLink(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	p := signInPage{Email: v.typed("email"), Kept: v.kept()}
	err := c.Admin.RequestLink(v.r.Context(), v.caller, strings.TrimSpace(p.Email))
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil:
		v.goTo(SignInPath, noteLink)
		return nil
	case rule == nil:
		return err
	case rule.Code == key.Invalid && len(rule.Faults) > 0:
		p.EmailError = sentence(rule.Faults[0].Detail)
		return c.showSignIn(v, http.StatusUnprocessableEntity, p)
	case rule.Code == key.RateLimited:
		v.retryAfter(rule.Wait)
		p.Problem = "Too many links were asked for. Try again in " + inWords(rule.Wait) + "."
		return c.showSignIn(v, http.StatusTooManyRequests, p)
	default:
		return err
	}
}

// linkPage is what the page of a one-time link says: nothing about whose it is or whether it is good. It does not use the
// link up, because programs that look through mails open all links in them.
type linkPage struct {
	User        string // e-mail address of who has signed in here already; "": nobody
	Unencrypted bool
}

func (c *Console) linkForm(v *visit) error {
	p := linkPage{Unencrypted: c.unencrypted(v.r)}
	if v.session.ID != 0 {
		me, err := c.Admin.Me(v.r.Context(), v.caller)
		if err != nil {
			return err
		}
		p.User = me.User.Email
	}
	return c.show(v, http.StatusOK, pageLink, frame{Title: "Sign in with a one-time link", Narrow: true, Main: p})
}

// linkUsedPage is what the page of a link that is good no more says.
type linkUsedPage struct {
	SignedIn bool // somebody has signed in here, maybe with it
	Mail     bool // another one can be mailed
}

// useLink signs in with a one-time link.
func (c *Console) useLink(v *visit) error {
	secret := strings.TrimPrefix(v.r.URL.Path, SignInPath+"/")
	started, err := c.Admin.SignInWithLink(v.r.Context(), v.caller, secret, v.browser())
	status := http.StatusGone
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil:
		v.beginAgain(started, passwordPath) // so that they get in the next time, too
		return nil
	case rule != nil && rule.Code == key.RateLimited: // a link that is good works nevertheless, so this one is not
		v.retryAfter(rule.Wait)
		status = http.StatusTooManyRequests
	case rule == nil || rule.Code != key.Unauthenticated:
		return err
	}
	p := linkUsedPage{SignedIn: v.session.ID != 0, Mail: c.Mail}
	return c.show(v, status, pageLinkUsed, frame{Title: "This link is no longer good", Narrow: true, Main: p})
}

// signOut ends the session. Whoever has none is signed out already.
func (c *Console) signOut(v *visit) error {
	if v.session.ID != 0 {
		if err := c.end(v.r.Context(), v.caller, v.session.ID); err != nil {
			return err
		}
	}
	v.set(browser.SignedOut()...)
	v.goTo(SignInPath, noteSignedOut)
	return nil
}

// end ends a session of the caller's. One that has ended meanwhile is none the worse for it.
func (c *Console) end(ctx context.Context, caller admin.Caller, id int64) error {
	err := c.Admin.EndSession(ctx, caller, id)
	if isCode(err, key.NotFound) {
		return nil
	}
	return err
}

// unencrypted reports whether a browser has come by a way on which it does not keep our cookies: without HTTPS, and not from
// this machine. It is for advice alone, so what a request says about itself is believed.
func (c *Console) unencrypted(r *http.Request) bool {
	if c.HTTPS || r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return host != "localhost" && !strings.HasSuffix(host, ".localhost")
	}
	return !ip.IsLoopback()
}

// Fields are those of the form to sign in with.
func (p signInPage) Fields() []field {
	return []field{
		// No type of its own: browsers change what is typed into one for e-mail addresses.
		{Name: "email", Label: "E-mail address", Type: "text", Required: true, Complete: "username", Value: p.Email, Error: p.EmailError,
			Focus: p.EmailError != "" || p.PasswordError == ""},
		{Name: "password", Label: "Password", Type: "password", Required: true, Complete: "current-password", Error: p.PasswordError,
			Focus: p.EmailError == "" && p.PasswordError != ""},
	}
}
