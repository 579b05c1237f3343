package admin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
)

func TestALinkWorksOnceAndForFifteenMinutes(t *testing.T) {
	h := newHouse(t)
	use := func(link string) error {
		return errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, link, admin.Browser{}))
	}
	var link string
	entries := h.logged(func() { link = h.link("member") })
	expectActions(t, entries, "user.link")
	if e := entries[0]; e.Target != (audit.Target{Type: audit.User, ID: h.users["member"]}) || e.Before != nil || e.After != nil {
		t.Errorf("the audit log says %+v", e)
	}
	another, late, others := h.link("member"), h.link("member"), h.link("viewer")

	h.pass(15*time.Minute - time.Millisecond)
	started, err := h.SignInWithLink(t.Context(), admin.Caller{}, link, admin.Browser{})
	if err != nil || started.UserID != h.users["member"] || started.Method != key.ByLink {
		t.Errorf("the session is %+v, %v", started.Session, err)
	}
	entries = h.logged(func() { expect(t, "once more", use(link), key.Unauthenticated) })
	expectActions(t, entries, "refused: session.create")
	expect(t, "another one", use(another), "ok")
	h.pass(time.Millisecond)
	expect(t, "after fifteen minutes", use(late), key.Unauthenticated)
	expect(t, "somebody else's after fifteen minutes", use(others), key.Unauthenticated)
	for _, text := range []string{"", "x", secret.New().Reveal()} {
		expect(t, text, use(text), key.Unauthenticated)
	}
}

// One link signs in once, however many try it at the same moment.
func TestALinkIsUsedUpByTheFirst(t *testing.T) {
	h := newHouse(t)
	link := h.link("member")
	outcomes := make(chan key.Code)
	for range 8 {
		go func() {
			outcomes <- codeOf(errorOf(h.SignInWithLink(context.Background(), admin.Caller{}, link, admin.Browser{})))
		}()
	}
	var in int
	for range 8 {
		if <-outcomes == "ok" {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d signed in", in)
	}
}

// Links that are none end in the audit log, but not without end; and a good one works all the same.
func TestBadLinksDoNotFillTheAuditLog(t *testing.T) {
	h := newHouse(t)
	link := h.link("member")
	here := admin.Caller{IP: "203.0.113.1"}
	use := func(c admin.Caller, link string) error {
		return errorOf(h.SignInWithLink(t.Context(), c, link, admin.Browser{}))
	}
	entries := h.logged(func() {
		for i := range 30 {
			want := key.Unauthenticated
			if i >= 20 {
				want = key.RateLimited
			}
			bad := secret.New().Reveal()
			if i%2 == 0 {
				bad = "none at all"
			}
			expect(t, fmt.Sprintf("bad link %d", i), use(here, bad), want)
		}
	})
	if len(entries) != 20 {
		t.Errorf("%d entries", len(entries))
	}
	expect(t, "a good link", use(here, link), "ok")
	expect(t, "a bad link from another address", use(admin.Caller{IP: "203.0.113.2"}, link), key.Unauthenticated)
	h.pass(30 * time.Second)
	expect(t, "a bad link, later", use(here, link), key.Unauthenticated)
}

func TestALinkForNobody(t *testing.T) {
	h := newHouse(t)
	link, err := h.MakeLink(t.Context(), admin.Caller{}, "nobody@example.com")
	expect(t, "make", err, key.NotFound)
	if !link.IsZero() {
		t.Error("a link was made")
	}
}

// running is a house whose service works in the background and sends mails.
func running(t *testing.T) (*house, mailbox) {
	t.Helper()
	sent := make(mailbox, 100)
	h := newHouse(t).with(func(o *admin.Options) { o.Mailer = sent })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return h, sent
}

func TestALinkIsMailedToWhoeverHasTheAddress(t *testing.T) {
	h, sent := running(t)
	ask := func(address, ip string) error {
		return h.RequestLink(t.Context(), admin.Caller{IP: ip, RequestID: "req"}, address)
	}
	entries := h.logged(func() {
		expect(t, "nobody's address", ask("nobody@example.com", "203.0.113.1"), "ok")
		expect(t, "a member's", ask("MEMBER@example.com", "203.0.113.1"), "ok")
		m := <-sent // the first that was asked for was looked at before
		if m.email != email("member") || m.organization != "" {
			t.Errorf("sent to %q for %q", m.email, m.organization)
		}
		started, err := h.SignInWithLink(t.Context(), admin.Caller{}, m.link.Reveal(), admin.Browser{})
		if err != nil || started.UserID != h.users["member"] {
			t.Errorf("the link signs in user %d, %v", started.UserID, err)
		}
	})
	expectActions(t, entries, "user.link", "session.create")
	if e := entries[0]; e.IP != "203.0.113.1" || e.RequestID != "req" || e.Actor != (audit.Actor{}) || e.Target.ID != h.users["member"] {
		t.Errorf("the audit log says %+v", e)
	}
	expect(t, "no address", ask("x", "203.0.113.1"), key.Invalid)
}

// Nobody fills a mailbox, and whoever asks too often waits; others do not.
func TestMailsAreFew(t *testing.T) {
	h, sent := running(t)
	ask := func(user, ip string) error { return h.RequestLink(t.Context(), admin.Caller{IP: ip}, email(user)) }
	for i := range 20 {
		expect(t, fmt.Sprint("request ", i), ask("member", "203.0.113.1"), "ok")
	}
	expect(t, "one more from there", ask("viewer", "203.0.113.1"), key.RateLimited)
	expect(t, "from elsewhere", ask("viewer", "203.0.113.2"), "ok") // which is the last that is looked at
	var got []string
	for m := (mail{}); m.email != email("viewer"); {
		m = <-sent
		got = append(got, m.email)
	}
	want := append(slices.Repeat([]string{email("member")}, 5), email("viewer"))
	if !slices.Equal(got, want) {
		t.Errorf("sent to %q", got)
	}
	h.pass(3 * time.Minute)
	expect(t, "later", ask("member", "203.0.113.1"), "ok")
	if m := <-sent; m.email != email("member") {
		t.Errorf("sent to %q", m.email)
	}
}

func TestWithoutAMailServerNobodyIsMailed(t *testing.T) {
	h := newHouse(t)
	expect(t, "ask", h.RequestLink(t.Context(), admin.Caller{}, email("member")), key.Conflict)
	expect(t, "ask for nobody", h.RequestLink(t.Context(), admin.Caller{}, "nobody@example.com"), key.Conflict)
}
