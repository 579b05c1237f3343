package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
)

// IdentityProvider is an OpenID Connect provider that people sign in with. The errors of both methods are *key.Error:
// unauthenticated where the provider does not vouch for anybody, unavailable where it cannot be asked.
type IdentityProvider interface {
	// Begin returns where to send the browser, and the secret that it must bring along on its way back, made of letters,
	// digits and ".-_".
	Begin(ctx context.Context) (redirectTo, pending string, err error)
	// Complete returns who has signed in. pending is what Begin gave to this browser, query what the provider gave it. A
	// pending is good once.
	Complete(ctx context.Context, pending string, query url.Values) (admin.Identity, error)
}

const (
	oidcPath    = "/sign-in/oidc"
	connectPath = "/account/oidc"
)

// pageLeave is the template of the page on the way to the identity provider.
const pageLeave = "leave"

// oidcPages are those of signing in at an identity provider.
func (c *Console) oidcPages() []Page {
	if c.Provider == nil {
		return nil
	}
	return []Page{
		c.page(http.MethodGet, oidcPath, c.beginOIDC),
		c.page(http.MethodGet, OIDCCallback, c.completeOIDC),
		c.page(http.MethodPost, connectPath, c.signedIn(c.beginConnect)),
		c.page(http.MethodGet, connectPath, goTo(accountPath)),
	}
}

// pending is what a browser carries while it is at the identity provider.
type pending struct {
	sessionID int64  // to connect the identity with the user of this session; 0: to sign in
	secret    string // the provider's
}

func (p pending) String() string { return strconv.FormatInt(p.sessionID, 10) + "." + p.secret }

// parsePending reads what String has written, as far as the provider's part does not say otherwise.
func parsePending(text string) (p pending, ok bool) {
	id, secret, ok := strings.Cut(text, ".")
	sessionID, err := strconv.ParseInt(id, 10, 64)
	return pending{sessionID, secret}, ok && err == nil && secret != ""
}

// beginOIDC sends the browser to the identity provider, to sign in.
func (c *Console) beginOIDC(v *visit) error {
	redirectTo, secret, err := c.Provider.Begin(v.r.Context())
	if err != nil {
		return c.providerFailed(v, pending{}, err)
	}
	v.set(browser.BeginPending(pending{secret: secret}.String()))
	v.goTo(redirectTo, "")
	return nil
}

// leavePage is what the page on the way to the identity provider says.
type leavePage struct {
	To   string // address
	Name string
}

// beginConnect sends the browser to the identity provider, to connect an identity with the user who has signed in.
//
// It is a page that goes on by itself, and no redirect: browsers hold those after a form against the policy, too, and a
// provider may send them on to any host.
func (c *Console) beginConnect(v *visit) error {
	redirectTo, secret, err := c.Provider.Begin(v.r.Context())
	p := pending{sessionID: v.session.ID, secret: secret}
	if err != nil {
		return c.providerFailed(v, p, err)
	}
	v.set(browser.BeginPending(p.String()))
	return c.show(v, http.StatusOK, pageLeave, frame{Title: "One moment", Narrow: true, Main: leavePage{redirectTo, c.ProviderName}})
}

// completeOIDC takes a browser that the identity provider sends back.
func (c *Console) completeOIDC(v *visit) error {
	v.set(browser.EndPending()) // whatever comes of it, it is good once
	p, ok := parsePending(browser.Pending(v.r))
	if !ok {
		return c.showSignInOrAccount(v, http.StatusBadRequest, p, "No sign-in with "+c.ProviderName+" is under way in this browser, or it has taken "+
			inWords(browser.PendingLifetime)+". Begin again.")
	}
	if p.sessionID != 0 && p.sessionID != v.session.ID {
		return c.showSignInOrAccount(v, http.StatusForbidden, p, "The session that this was begun in has ended. Nothing was connected.")
	}
	identity, err := c.Provider.Complete(v.r.Context(), p.secret, v.r.URL.Query())
	if err != nil {
		return c.providerFailed(v, p, err)
	}
	if p.sessionID != 0 {
		return c.connect(v, p, identity)
	}
	started, err := c.Admin.SignInWithIdentity(v.r.Context(), v.caller, identity, v.browser())
	if isCode(err, key.Unauthenticated) {
		return c.showSignInOrAccount(v, http.StatusForbidden, p, c.ProviderName+" has confirmed who you are, but nobody here is connected with that. "+
			"Sign in with a password or a one-time link first, and connect it on the page of your account.")
	}
	if err != nil {
		return err
	}
	v.beginAgain(started, keysPath)
	return nil
}

// connect connects an identity with the user who has signed in.
func (c *Console) connect(v *visit, p pending, identity admin.Identity) error {
	err := c.Admin.BindIdentity(v.r.Context(), v.caller, identity)
	if rule, ok := errors.AsType[*key.Error](err); ok && rule.Code == key.Conflict {
		return c.showSignInOrAccount(v, http.StatusConflict, p, sentence(rule.Detail))
	}
	if err != nil {
		return err
	}
	v.goTo(accountPath, noteConnected)
	return nil
}

// providerFailed explains why the identity provider does not vouch for anybody. Why exactly is for the log: it helps
// whoever operates the server, and whoever makes things up.
func (c *Console) providerFailed(v *visit, p pending, err error) error {
	switch {
	case isCode(err, key.Unauthenticated):
		c.Log.LogAttrs(v.r.Context(), slog.LevelWarn, "sign-in at the identity provider refused",
			slog.String("request_id", v.caller.RequestID), slog.Any("error", err))
		return c.showSignInOrAccount(v, http.StatusForbidden, p, c.ProviderName+" has not confirmed who you are. Begin again; if it stays like that, ask "+
			"whoever operates this server to look for "+v.caller.RequestID+" in its log.")
	case isCode(err, key.Unavailable):
		c.Log.LogAttrs(v.r.Context(), slog.LevelWarn, "identity provider not available",
			slog.String("request_id", v.caller.RequestID), slog.Any("error", err))
		return c.showSignInOrAccount(v, http.StatusServiceUnavailable, p, c.ProviderName+" cannot be reached just now. Try again in a while, or sign in "+
			"another way.")
	default:
		return err
	}
}

// showSignInOrAccount says what has gone wrong where it was begun.
func (c *Console) showSignInOrAccount(v *visit, status int, p pending, problem string) error {
	if p.sessionID != 0 && v.session.ID != 0 {
		if err := c.identify(v); err != nil {
			return err
		}
		return c.showAccount(v, status, accountPage{Problem: problem})
	}
	return c.showSignIn(v, status, signInPage{Problem: problem})
}
