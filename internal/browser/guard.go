package browser

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// ErrCrossSite: another site has made the browser send the request.
var ErrCrossSite = errors.New("the request comes from another site")

// Guard refuses requests that another site has made a browser send.
type Guard struct{ protection *http.CrossOriginProtection }

// NewGuard returns a Guard. publicURL is the address that browsers know the server by, where a proxy stands in front of it;
// "": the one that requests name.
func NewGuard(publicURL string) (*Guard, error) {
	p := http.NewCrossOriginProtection()
	if publicURL != "" {
		origin, err := originOf(publicURL)
		if err != nil {
			return nil, err
		}
		if err := p.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return &Guard{p}, nil
}

// originOf returns the origin of an address as browsers write it (RFC 6454, section 6.1): in lower case, and without the port
// that goes with the scheme.
func originOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	host := strings.ToLower(u.Host)
	if port, ok := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; ok {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host, nil
}

// Check returns ErrCrossSite for a request that changes something and that another site has made a browser send. Browsers
// say so themselves (Sec-Fetch-Site, Origin); what sends neither is no browser, and has no cookies that it did not mean to
// send.
func (g *Guard) Check(r *http.Request) error {
	if g.protection.Check(r) != nil {
		return ErrCrossSite
	}
	return nil
}
