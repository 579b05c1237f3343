package mail

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSignInLink(t *testing.T) {
	const link = "https://keys.example.com/sign-in/SECRET"
	for _, tt := range []struct {
		name   string
		reason Reason
		want   Message
	}{
		{"asked for", Reason{}, Message{To: "you@example.org", Subject: "Your link to sign in to keys.example.com",
			Text: `Somebody, most likely you, asked for a link to sign in to keys.example.com.

To sign in, and to choose a new password if you have lost yours, open:

https://keys.example.com/sign-in/SECRET

The link works once, and for 15 minutes.

If you did not ask for it, there is nothing to do: without this mail nobody can
use the link.
`}},
		{"invited", Reason{Organization: "Example Ltd", InvitedBy: "owner@example.com"},
			Message{To: "you@example.org", Subject: "You are invited to keys.example.com",
				Text: `You are invited to the organization

    Example Ltd

on keys.example.com
by owner@example.com.

To accept, open this link; you can then choose a password:

https://keys.example.com/sign-in/SECRET

The link works once, and for 15 minutes. If it has expired, ask for
another where you sign in.

If you expected no invitation, there is nothing to do.
`}},
	} {
		if diff := cmp.Diff(tt.want, SignInLink("you@example.org", link, tt.reason), cmp.AllowUnexported(Message{})); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestNamesCannotWriteTheMail keeps what customers choose on one line, and out of the subject.
func TestNamesCannotWriteTheMail(t *testing.T) {
	evil := "Example\r\n\r\nYour key has leaked! Open\u202e\u2028https://evil.example" + strings.Repeat(" now", 500)
	m := SignInLink("you@example.org", "https://keys.example.com/sign-in/SECRET", Reason{Organization: evil, InvitedBy: evil})
	if strings.Contains(m.Subject, "evil") || m.Subject != "You are invited to keys.example.com" {
		t.Errorf("subject %q", m.Subject)
	}
	lines := 0
	for line := range strings.Lines(m.Text) {
		if strings.Contains(line, "evil") {
			lines++
		}
		if len(line) > 260 || strings.ContainsAny(line, "\r\u202e\u2028") {
			t.Errorf("line %q", line)
		}
	}
	if lines != 2 {
		t.Errorf("the names are on %d lines of\n%s", lines, m.Text)
	}
	if site := siteOf("::"); site != "apikeyd" {
		t.Errorf("site of no link: %s", site)
	}
}

func TestLeaked(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 54, 3, 0, time.UTC)
	known := Leaked("you@example.org", "https://keys.example.com", Leak{KeyName: "Backend", Hint: "ak_7Gx2…9fQ2", Organization: "Example Ltd",
		ReportedBy: "github", URL: "https://github.com/a/b", IP: "192.0.2.7", At: at})
	want := Message{To: "you@example.org", Subject: "A key of yours on keys.example.com has leaked", Text: `A token of a key of yours was reported as leaked by github.
It was ended at once: nobody can use it any more, and it cannot be brought back.

    Key           Backend
    Token         ak_7Gx2…9fQ2
    Organization  Example Ltd
    Reported at   2026-11-22 18:54:03 UTC
    Found at      https://github.com/a/b
    Report from   192.0.2.7

The key is disabled. To go on with it, rotate it, give the new token to the programs
that use it, and enable it again. If you no longer need it, delete it.

Whoever found the token may have used it before. The audit log of the organization
says what the key did here; look also at what it did in the API it is for.
`}
	if diff := cmp.Diff(want, known, cmp.AllowUnexported(Message{})); diff != "" {
		t.Error(diff)
	}
	evil := "x\r\n\r\nOpen\u202ehttps://evil.example" + strings.Repeat(" now", 500)
	m := Leaked("you@example.org", "", Leak{KeyName: evil, Hint: evil, Organization: evil, URL: evil, IP: evil, ReportedBy: evil, Old: true, At: at})
	if strings.Contains(m.Subject, "evil") || !strings.Contains(m.Text, "goes on with its newer token") {
		t.Errorf("%+v", m)
	}
	for line := range strings.Lines(m.Text) {
		if len(line) > 310 || strings.ContainsAny(line, "\r\u202e") {
			t.Errorf("line %q", line)
		}
	}
	if bare := Leaked("you@example.org", "", Leak{At: at}); !strings.Contains(bare.Text, "by somebody who had it") || strings.Contains(bare.Text, "Found at") {
		t.Error(bare.Text)
	}
}
