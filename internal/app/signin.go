package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/mail"
	"github.com/apikeyd/apikeyd/internal/oidc"
	"github.com/apikeyd/apikeyd/internal/secret"
)

// OIDCCallback is where the identity provider sends browsers back to, below the public URL.
const OIDCCallback = "/sign-in/oidc/callback"

// mailer sends one-time links by way of an outbox.
type mailer struct {
	outbox *mail.Outbox
	url    func(secret.Secret) string
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
	return &mailer{outbox: mail.NewOutbox(sender.Send, log), url: url, log: log}, nil
}

// SendSignInLink puts the mail into the outbox.
func (m *mailer) SendSignInLink(email string, link secret.Secret, organization string) {
	if !m.outbox.Enqueue(mail.SignInLink(email, m.url(link), mail.Reason{Organization: organization})) {
		m.log.Warn("too many mails are waiting to be sent; one is not sent")
	}
}

// identities makes the provider's tokens credentials of the API.
type identities struct{ provider *oidc.Provider }

// newProvider returns nil where the configuration names no provider. The provider need not be there yet.
func newProvider(c *config.Config, now func() time.Time, log *slog.Logger) (*oidc.Provider, error) {
	if !c.OIDC.Enabled() {
		return nil, nil
	}
	return oidc.New(oidc.Options{
		Issuer: c.OIDC.Issuer, ClientID: c.OIDC.ClientID, ClientSecret: c.OIDC.ClientSecret.Reveal, Audience: c.OIDC.Audience,
		RedirectURL: c.PublicURL + OIDCCallback, Now: now, Log: log,
	})
}

// Claims reports whether a bearer credential looks like one of the provider's tokens.
func (i identities) Claims(bearer string) bool { return oidc.LooksLikeToken(bearer) }

// Authenticate returns whom a token was issued to.
func (i identities) Authenticate(ctx context.Context, bearer string) (admin.Identity, error) {
	id, err := i.provider.Authenticate(ctx, bearer)
	return admin.Identity(id), identityError(err)
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
