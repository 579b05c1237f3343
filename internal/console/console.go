// Package console is what people see in a browser: the pages to sign in with, those of keys and of accounts, the audit log,
// and the nodes.
//
// Pages are HTML from the server. Every one of them works without script; one script of ours makes them more pleasant. They load
// nothing from another host, and a strict policy keeps it so. A form that cannot be carried out comes back with the reason beside
// the field, and with what was typed in it, passwords apart; one that was carried out sends the browser on, so that a reload does
// nothing twice. The exception are pages that show a token, which are the answer to the form itself, since a token is kept
// nowhere; such a form carries an id that is good once.
//
// Each page has a file of its own, and a template of the same name: it says which addresses it answers, reads forms, calls use
// cases, and makes what the template shows.
//
// Nothing about who may do what is decided here: a page finds out whose session the request was made in, and hands that to
// the use case. Logs, request ids and metrics are for whoever mounts the pages.
package console

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/secret"
)

// Options are what a Console is made of. Where nothing else is said, a field is required.
type Options struct {
	Admin  *admin.Service
	Guard  *browser.Guard
	Client browser.Client // finds out where a request came from
	Log    *slog.Logger   // why a page could not be shown, where that is not the reader's fault
	Now    func() time.Time

	// ManagementURL and VerificationURL return how programs reach the API and ask whether a key is good, without a slash at
	// the end. They are called when a page shows one.
	ManagementURL, VerificationURL func() string
	// SignInURL returns the address that signs in with a one-time link.
	SignInURL func(secret.Secret) string

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
	style, icon, script *asset
	templates           templates
	tokens              *forms[shownToken]
	invited             *forms[invitation]
}

// New returns a Console.
func New(o Options) *Console {
	return &Console{
		Options: o,
		style:   newAsset("/assets/console.css", "text/css; charset=utf-8"),
		icon:    newAsset("/assets/icon.svg", "image/svg+xml"),
		script:  newAsset("/assets/console.js", "text/javascript; charset=utf-8"),

		templates: findTemplates(o.Now),
		tokens:    newForms[shownToken](),
		invited:   newForms[invitation](),
	}
}

// Page is an address, and what answers there.
type Page struct {
	Method  string // GET stands for HEAD, too
	Pattern string // "/sign-in/{secret}": what stands in braces matches one segment
	Handler http.Handler
}

// The templates of pages that have no file of their own.
const (
	pageConfirm = "confirm"
	pageError   = "error"
)

// The addresses that others have to know.
const (
	// SignInPath with a slash and the secret of a one-time link behind it signs in with that link.
	SignInPath = "/sign-in"
	// OIDCCallback is where the identity provider sends browsers back to.
	OIDCCallback = "/sign-in/oidc/callback"
)

const (
	appearancePath    = "/appearance"
	organizationsPath = "/organizations"
)

// Pages returns all pages. Where several patterns match, the first is meant. The id of a request is expected in the header
// X-Request-Id of its answer.
func (c *Console) Pages() []Page {
	return slices.Concat(
		[]Page{
			c.page(http.MethodGet, "/", c.start),
			c.page(http.MethodPost, appearancePath, c.setAppearance),
			c.page(http.MethodGet, appearancePath, goTo("/")),
			{http.MethodGet, c.style.path, c.style},
			{http.MethodGet, c.icon.path, c.icon},
			{http.MethodGet, c.script.path, c.script},
		},
		c.keyPages(),
		c.usagePages(),
		c.organizationPages(),
		c.memberPages(),
		c.auditPages(),
		c.nodePages(),
		c.accountPages(),
		c.passwordPages(),
		c.resumePages(),
		c.oidcPages(),
		c.signInPages(), // last, because they match others
	)
}

// Nowhere returns the page at addresses where there is no other.
func (c *Console) Nowhere() http.Handler {
	return c.page(http.MethodGet, "", func(v *visit) error {
		if v.session.ID != 0 {
			if err := c.identify(v); err != nil {
				return err
			}
		}
		return &refusal{status: http.StatusNotFound, title: "There is no such page", text: "No page has this address."}
	}).Handler
}

// start is the first page.
func (c *Console) start(v *visit) error {
	if v.session.ID == 0 {
		return c.askToSignIn(v)
	}
	v.goTo(keysPath, "")
	return nil
}
