package cli

import (
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// printKey prints a key in the given format; token is "" but for a key whose token was just handed out.
func (s *session) printKey(format string, k api.Key, token string) error {
	switch {
	case format == formatToken:
		_, err := fmt.Fprintln(s.Out, visible(token))
		return err
	case format == formatJSON && token != "":
		return printJSON(s.Out, api.CreatedKey{Key: k, Token: token})
	case format == formatJSON:
		return printJSON(s.Out, k)
	}
	var f fields
	f.add("ID", fmt.Sprint(k.KeyID))
	f.add("Name", k.KeyName)
	if token != "" {
		f.add("Token", token)
	}
	f.add("Hint", k.KeyHint)
	f.add("Scopes", joinScopes(k.KeyScope, ", "))
	f.add("Organization", fmt.Sprint(k.OrganizationID))
	f.add("User", fmt.Sprint(k.UserID))
	f.add("State", state(k, s.now()))
	f.add("Expires", timeOrNever(k.ExpiresAt))
	f.add("Last used", timeOrNever(k.LastUsedAt))
	f.add("Created", timeOrNever(&k.CreatedAt))
	f.add("Updated", timeOrNever(&k.UpdatedAt))
	f.add("Metadata", string(k.Metadata))
	f.addRestrictions(k)
	return f.print(s.Out)
}

// state says in a word whether a key is good. Whether it is expired is judged by the clock of this machine.
func state(k api.Key, now time.Time) string {
	switch {
	case !k.Enabled:
		return string(api.StateDisabled)
	case k.ExpiresAt != nil && !now.Before(k.ExpiresAt.Time):
		return string(api.StateExpired)
	default:
		return string(api.StateActive)
	}
}

// noteShownOnce tells the person at the terminal, and no pipe, that the token will not come again.
func (s *session) noteShownOnce() {
	fmt.Fprintln(s.Err, "The token is shown this once; the server does not keep it.")
}
