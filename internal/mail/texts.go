package mail

import (
	"fmt"
	"net/url"
	"strings"
	"time"
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

// Leak is what somebody is told of a token of theirs that was reported and is dead.
type Leak struct {
	KeyName      string
	Hint         string // of the token
	Organization string
	Old          bool   // the key has a newer token, and goes on with that
	ReportedBy   string // "": somebody who had the token
	URL          string // where it was found; "": not known
	IP           string // where the report came from; "": not known
	At           time.Time
}

// Leaked returns the mail that tells somebody of a leak. site is the address of the server.
func Leaked(to, site string, l Leak) Message {
	by := "somebody who had it"
	if l.ReportedBy != "" {
		by = oneLine(l.ReportedBy)
	}
	where := ""
	if l.URL != "" {
		where += "\n    Found at      " + oneLine(l.URL)
	}
	if l.IP != "" {
		where += "\n    Report from   " + oneLine(l.IP)
	}
	next := "The key is disabled. To go on with it, rotate it, give the new token to the programs\nthat use it, and enable it again. If you no longer need it, delete it."
	if l.Old {
		next = "It was one from before the key was rotated. The key goes on with its newer token;\nprograms that still use the old one are refused."
	}
	return Message{To: to, Subject: "A key of yours on " + siteOf(site) + " has leaked", Text: text(
		fmt.Sprintf("A token of a key of yours was reported as leaked by %s.\nIt was ended at once: nobody can use it any more, and it cannot be brought back.", by),
		fmt.Sprintf("    Key           %s\n    Token         %s\n    Organization  %s\n    Reported at   %s%s",
			oneLine(l.KeyName), oneLine(l.Hint), oneLine(l.Organization), l.At.UTC().Format("2006-01-02 15:04:05 UTC"), where),
		next,
		"Whoever found the token may have used it before. The audit log of the organization\nsays what the key did here; look also at what it did in the API it is for.")}
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
