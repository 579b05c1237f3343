package config

import (
	"fmt"
	"net/url"
)

// parseKeysURL takes the address of somebody's public keys. Whoever is on the way could put others in their place.
func parseKeysURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return "", fmt.Errorf("%s is no absolute URL; write one like https://api.github.com/meta/public_keys/secret_scanning", quote(text))
	case u.User != nil:
		return "", fmt.Errorf("%s holds a user name; the keys are public", quote(text))
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", fmt.Errorf("%s is not encrypted: whoever is between could sign as GitHub; write https://", quote(text))
	}
	return text, nil
}
