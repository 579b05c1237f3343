package mail

import (
	"errors"
	"net/smtp"
	"slices"
	"strings"
)

// auth presents a user name and a password, in the way that every server knows (PLAIN), or in the one that some know
// alone (LOGIN). Both send the password as it is: whether the connection is good enough for that is for the caller to
// say.
type auth struct {
	mechanism string
	answers   []string // to what the server asks, in this order
	initial   []byte   // sent with the mechanism
}

// newAuth returns the way to sign in among those that the server offers, which are words, or nil.
func newAuth(offered, username, password string) smtp.Auth {
	mechanisms := strings.Fields(strings.ToUpper(offered))
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		return &auth{mechanism: "PLAIN", initial: []byte("\x00" + username + "\x00" + password)}
	case slices.Contains(mechanisms, "LOGIN"):
		return &auth{mechanism: "LOGIN", answers: []string{username, password}}
	}
	return nil
}

// Start names the mechanism.
func (a *auth) Start(*smtp.ServerInfo) (mechanism string, initial []byte, err error) {
	return a.mechanism, a.initial, nil
}

// Next answers what the server asks.
func (a *auth) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	if len(a.answers) == 0 {
		return nil, errors.New("the mail server asks for more than a user name and a password")
	}
	answer := a.answers[0]
	a.answers = a.answers[1:]
	return []byte(answer), nil
}
