package mail

import (
	"fmt"
	"net/url"
	"strings"
)

// Reason says why somebody is sent a link. The zero Reason is that they asked for one, to sign in or because they have
// lost their password.
type Reason struct {
	Organization string // name of the organization that they are invited to; "": no invitation
	InvitedBy    string // e-mail address of whoever invites them; "": not known
}

// SignInLink returns the mail that brings somebody a one-time link. What the subject says is the operator's alone: a
// name that any customer can choose does not belong at the top of a mail to a stranger.
func SignInLink(to, link string, reason Reason) Message {
	site := siteOf(link)
	if reason.Organization == "" {
		return Message{To: to, Subject: "Your link to sign in to " + site, Text: text(
			"Somebody, most likely you, asked for a link to sign in to "+site+".",
			"To sign in, and to choose a new password if you have lost yours, open:",
			link, limits,
			"If you did not ask for it, there is nothing to do: without this mail nobody can\nuse the link.")}
	}
	by := ""
	if reason.InvitedBy != "" {
		by = "\nby " + oneLine(reason.InvitedBy)
	}
	return Message{To: to, Subject: "You are invited to " + site, Text: text(
		fmt.Sprintf("You are invited to the organization\n\n    %s\n\non %s%s.", oneLine(reason.Organization), site, by),
		"To accept, open this link; you can then choose a password:",
		link, limits+" If it has expired, ask for\nanother where you sign in.",
		"If you expected no invitation, there is nothing to do.")}
}

const limits = "The link works once, and for 15 minutes."

// text joins paragraphs.
func text(paragraphs ...string) string { return strings.Join(paragraphs, "\n\n") + "\n" }

// siteOf returns how a reader recognises where a link leads.
func siteOf(link string) string {
	if u, err := url.Parse(link); err == nil && u.Host != "" {
		return oneLine(u.Host)
	}
	return "apikeyd"
}
