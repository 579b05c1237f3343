package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/console"
	"github.com/apikeyd/apikeyd/internal/httpapi"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/mail"
	"github.com/apikeyd/apikeyd/internal/oidc"
	"github.com/apikeyd/apikeyd/internal/secret"
)

// mailer sends mails by way of an outbox.
type mailer struct {
	outbox *mail.Outbox
	url    func(secret.Secret) string
	site   string // the address of the server
	log    *slog.Logger
}

// newMailer returns nil where the configuration names no mail server.
func newMailer(c *config.Config, url func(secret.Secret) string, log *slog.Logger) (*mailer, error) {
	if !c.SMTP.Enabled() {
		return nil, nil
	}
	o := mail.Options{Address: c.SMTP.Address, From: c.SMTP.From, Username: c.SMTP.Username, TLS: c.SMTP.TLS}
	if c.SMTP.Username != "" {
		o.Password = c.SMTP.Password.Reveal
	}
	sender, err := mail.New(o)
	if err != nil {
		return nil, err
	}
	return &mailer{outbox: mail.NewOutbox(sender.Send, log), url: url, site: c.PublicURL, log: log}, nil
}

// SendSignInLink puts the mail into the outbox.
func (m *mailer) SendSignInLink(email string, link secret.Secret, organization string) {
	m.send(mail.SignInLink(email, m.url(link), mail.Reason{Organization: organization}))
}

// SendLeak puts the mail into the outbox.
func (m *mailer) SendLeak(email string, n admin.LeakNotice) {
	m.send(mail.Leaked(email, m.site, mail.Leak{
		KeyName: n.KeyName, Hint: n.Hint, Organization: n.Organization, Old: n.Old, ReportedBy: n.Finder, URL: n.URL, IP: n.IP, At: n.At,
	}))
}

func (m *mailer) send(message mail.Message) {
	if !m.outbox.Enqueue(message) {
		m.log.Warn("too many mails are waiting to be sent; one is not sent")
	}
}

// identities makes the provider's tokens credentials of the API, and lets people sign in there.
type identities struct{ provider *oidc.Provider }

// newProvider returns nil where the configuration names no provider. The provider need not be there yet.
func newProvider(c *config.Config, now func() time.Time, log *slog.Logger) (*oidc.Provider, error) {
	if !c.OIDC.Enabled() {
		return nil, nil
	}
	return oidc.New(oidc.Options{
		Issuer: c.OIDC.Issuer, ClientID: c.OIDC.ClientID, ClientSecret: c.OIDC.ClientSecret.Reveal, Audience: c.OIDC.Audience,
		RedirectURL: c.PublicURL + console.OIDCCallback, Now: now, Log: log,
	})
}

// Claims reports whether a bearer credential looks like one of the provider's tokens.
func (i identities) Claims(bearer string) bool { return oidc.LooksLikeToken(bearer) }

// Authenticate returns whom a token was issued to.
func (i identities) Authenticate(ctx context.Context, bearer string) (admin.Identity, error) {
	id, err := i.provider.Authenticate(ctx, bearer)
	return admin.Identity(id), identityError(err)
}

// Begin returns where a browser is to sign in, and what it must bring along on its way back.
func (i identities) Begin(ctx context.Context) (redirectTo, pending string, err error) {
	redirectTo, secrets, err := i.provider.Begin(ctx)
	if err != nil {
		return "", "", signInError(err)
	}
	return redirectTo, secrets.Encode(), nil
}

// Complete returns who has signed in.
func (i identities) Complete(ctx context.Context, pending string, query url.Values) (admin.Identity, error) {
	secrets, err := oidc.ParsePending(pending)
	if err != nil {
		return admin.Identity{}, signInError(err)
	}
	id, err := i.provider.Complete(ctx, secrets, query)
	return admin.Identity(id), signInError(err)
}

// signInError is an error of a sign-in at the provider as the console sees it.
func signInError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, oidc.ErrRejected):
		return &key.Error{Code: key.Unauthenticated, Err: err, Detail: "the identity provider does not vouch for anybody"}
	default:
		return &key.Error{Code: key.Unavailable, Err: err, Detail: "the identity provider cannot be reached; nothing was done, try again"}
	}
}

// identityError is an error of the provider's as callers see it.
func identityError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, oidc.ErrRejected):
		return &key.Error{Code: key.Unauthenticated, Err: err, Detail: "the access token is not one that is accepted here: wrong issuer or " +
			"audience, expired, not signed by the provider, or of another form"}
	default:
		return &key.Error{Code: key.Unavailable, Err: err, Detail: "the identity provider cannot be reached, so the access token cannot be " +
			"checked; nothing was done, try again"}
	}
}

// pages returns what browsers are shown, and what where there is nothing.
func (a *App) pages(guard *browser.Guard, client browser.Client, now func() time.Time) (pages []httpapi.Page, nowhere http.Handler) {
	o := console.Options{
		Admin: a.admin, Guard: guard, Client: client, Log: a.log, Now: now, Mail: a.mailer != nil,
		ManagementURL: a.ManagementURL, VerificationURL: a.VerificationURL, SignInURL: a.SignInURL,
		HTTPS: strings.HasPrefix(a.config.PublicURL, "https://"),
	}
	if a.provider != nil {
		o.Provider, o.ProviderName = identities{a.provider}, providerName(a.config.OIDC.Issuer)
	}
	c := console.New(o)
	for _, p := range c.Pages() {
		pages = append(pages, httpapi.Page(p))
	}
	return pages, c.Nowhere()
}

// providerName is what people know an identity provider by: its host.
func providerName(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Hostname() == "" {
		return issuer
	}
	return u.Hostname()
}
