// Package console is what people see in a browser: the pages to sign in with, and that of one's own account.
//
// Pages are HTML from the server. They need no script, load nothing from another host, and a strict policy keeps it so. A
// form that cannot be carried out comes back with the reason beside the field, and with what was typed in it, passwords
// apart; one that was carried out sends the browser on, so that a reload does nothing twice.
//
// Nothing about who may do what is decided here: a page finds out whose session the request was made in, and hands that to
// the use case. Logs, request ids and metrics are for whoever mounts the pages.
package console

import (
	"log/slog"
	"net/http"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
)

// Options are what a Console is made of. Where nothing else is said, a field is required.
type Options struct {
	Admin  *admin.Service
	Guard  *browser.Guard
	Client browser.Client // finds out where a request came from
	Log    *slog.Logger   // why a page could not be shown, where that is not the reader's fault

	// Provider lets people sign in elsewhere; nil: there is none. ProviderName is what they know it by.
	Provider     IdentityProvider
	ProviderName string
	// Mail says that one-time links are mailed to those who ask for one.
	Mail bool
	// HTTPS says that browsers reach the server by HTTPS, whatever a request looks like.
	HTTPS bool
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	Options
	style, icon *asset
	templates   templates
}

// New returns a Console.
func New(o Options) *Console {
	return &Console{
		Options: o,
		style:   newAsset("/assets/console.css", "text/css; charset=utf-8"),
		icon:    newAsset("/assets/icon.svg", "image/svg+xml"),

		templates: parseTemplates(pageSignIn, pageLink, pageLinkUsed, pageLeave, pageAccount, pageError),
	}
}

// Page is an address, and what answers there.
type Page struct {
	Method  string // GET stands for HEAD, too
	Pattern string // "/sign-in/{secret}": what stands in braces matches one segment
	Handler http.Handler
}

// The templates of the pages.
const (
	pageSignIn   = "sign-in"
	pageLink     = "link"      // a one-time link, before it is used
	pageLinkUsed = "link-used" // one that is good no more
	pageLeave    = "leave"     // on the way to the identity provider
	pageAccount  = "account"
	pageError    = "error"
)

// The addresses that others have to know.
const (
	// SignInPath with a slash and the secret of a one-time link behind it signs in with that link.
	SignInPath = "/sign-in"
	// OIDCCallback is where the identity provider sends browsers back to.
	OIDCCallback = "/sign-in/oidc/callback"
)

const (
	linkPath    = "/sign-in/link" // has a one-time link mailed
	oidcPath    = "/sign-in/oidc"
	signOutPath = "/sign-out"

	accountPath  = "/account"
	passwordPath = "/account/password"
	connectPath  = "/account/oidc"
	sessionsPath = "/account/sessions"
)

// Pages returns all pages. Where several patterns match, the first is meant. The id of a request is expected in the header
// X-Request-Id of its answer.
func (c *Console) Pages() []Page {
	pages := []Page{
		{http.MethodGet, "/", c.page(c.start)},
		{http.MethodGet, SignInPath, c.page(c.signInForm)},
		{http.MethodPost, SignInPath, c.page(c.signIn)},
		{http.MethodPost, linkPath, c.page(c.mailLink)},
		{http.MethodPost, signOutPath, c.page(c.signOut)},
		{http.MethodGet, accountPath, c.page(signedIn(c.account))},
		{http.MethodPost, passwordPath, c.page(signedIn(c.setPassword))},
		{http.MethodPost, sessionsPath + "/{session_id}/end", c.page(signedIn(c.endSession))},
		{http.MethodGet, c.style.path, c.style},
		{http.MethodGet, c.icon.path, c.icon},

		// Whoever comes back to the address that a form was sent to is sent to the form.
		{http.MethodGet, linkPath, c.page(goTo(SignInPath))},
		{http.MethodGet, signOutPath, c.page(goTo("/"))},
		{http.MethodGet, passwordPath, c.page(goTo(accountPath))},
	}
	if c.Provider != nil {
		pages = append(pages,
			Page{http.MethodGet, oidcPath, c.page(c.beginOIDC)},
			Page{http.MethodGet, OIDCCallback, c.page(c.completeOIDC)},
			Page{http.MethodPost, connectPath, c.page(signedIn(c.beginConnect))},
			Page{http.MethodGet, connectPath, c.page(goTo(accountPath))})
	}
	return append(pages, // last, because it matches others
		Page{http.MethodGet, SignInPath + "/{secret}", c.page(c.linkForm)},
		Page{http.MethodPost, SignInPath + "/{secret}", c.page(c.useLink)})
}
