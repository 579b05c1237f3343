package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// OIDC says which OpenID provider vouches for people. The zero OIDC is none.
type OIDC struct {
	Issuer           string // as the provider writes it, with or without a slash at its end
	ClientID         string // under which the provider knows apikeyd
	ClientSecretFile string // "": the provider asks for none
	ClientSecret     Secret // as it stood in ClientSecretFile at the start
	Audience         string // that an access token must be for; once loaded, never empty where there is a provider
	MatchEmail       bool   // a verified address of the provider's finds the user on the first sign-in
}

// Enabled reports whether there is a provider.
func (o OIDC) Enabled() bool { return o.Issuer != "" }

// discovery is where a provider describes itself, below its issuer.
const discovery = "/.well-known/openid-configuration"

// parseIssuer takes an issuer and returns it unchanged: it is compared with what stands in tokens, letter by letter.
func parseIssuer(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return "", fmt.Errorf("%s is no absolute URL; write one like https://login.example.com", quote(text))
	case u.User != nil:
		return "", fmt.Errorf("%s holds a user name, which no issuer does", quote(text))
	case strings.ContainsAny(text, "?#"):
		return "", fmt.Errorf("%s holds a query or a fragment, which no issuer does", quote(text))
	case strings.HasSuffix(text, discovery):
		return "", errors.New("is the address of the provider's description; leave out " + discovery)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", fmt.Errorf("%s is not encrypted: whoever is between could sign in as anybody; write https://", quote(text))
	}
	return text, nil
}
