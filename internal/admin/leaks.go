package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// reportLeak is no action that authorize decides about: whoever holds a token could use it for everything that it is good for,
// and may as well end it.
var reportLeak = action{name: "key.leaked"}

// Leak is a token that somebody has found where it should not be.
type Leak struct {
	Token string // as it was found; it need not be one

	// What a finder says of the place; "": nothing. What does not fit into the audit log is cut off.
	Source string // what kind of place it is: "commit"
	URL    string // where
}

// LeakNotice is what the user learns whose key it was.
type LeakNotice struct {
	KeyID        int64
	KeyName      string
	Hint         string // of the token that was reported
	Organization string // its name
	Old          bool   // it was one that a rotation had left alive for its grace: the key goes on with its newer one
	Finder       string // who has found it; "": somebody who had it and said no more
	URL          string // where it was found; "": not known
	IP           string // where the report came from; "": not known
	At           time.Time
}

// answerStep is what the time is rounded up to after which a report by a holder is answered: more than the change takes, so
// that the time does not tell whether there was one.
const answerStep = 200 * time.Millisecond

// leakBatch is how many tokens are killed in one transaction, for which all other changes wait.
const leakBatch = 100

// ReportLeak kills a token that whoever has it reports. When it returns, the token is dead on every node; see kill. Whether
// it was one is told neither by what it returns nor, as far as may be, by when.
func (s *Service) ReportLeak(ctx context.Context, c Caller, text string) error {
	if err := s.attempts.report(c.IP); err != nil {
		return err
	}
	begun := time.Now() // not the service's clock: this is about time that passes
	// Whoever hangs up has reported it all the same.
	if _, err := s.kill(context.WithoutCancel(ctx), c, "", []Leak{{Token: text}}); err != nil {
		return err
	}
	wait := time.NewTimer(answerStep - time.Since(begun)%answerStep)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done(): // nobody waits for the answer
	}
	return nil
}

// ReportLeaks kills the tokens that a finder reports, which has proved who it is, and returns for each whether it was one: also where
// it is dead already, as long as a report was what killed it.
func (s *Service) ReportLeaks(ctx context.Context, c Caller, finder string, leaks []Leak) (found []bool, err error) {
	for len(leaks) > 0 {
		n := min(leakBatch, len(leaks))
		some, err := s.kill(ctx, c, finder, leaks[:n])
		if err != nil {
			return nil, err
		}
		found, leaks = append(found, some...), leaks[n:]
	}
	return found, nil
}

// kill kills tokens, and tells the users whose keys they were.
//
// A token is deleted, so that nobody can bring it back by mistake: a key that was only disabled would be good again, together
// with what leaked, when its owner enables it. The key stays, with everything that is known about it. Where the
// token was the one that it has now, the key is disabled as well: its owner sees at once that it is no longer in use, and
// rotates and enables it to go on. Where it was an older one in its grace, the key has been rotated already, maybe because of the leak,
// and goes on with its newer token, which whoever holds the old one does not know.
//
// A finder reports a token as often as it finds it, and once more where it did not get an answer. Those that were killed are
// remembered for that, so that it is not told that they were none, and the log tells each place. Whoever holds a token tells of no
// place, may do so as often as they like, and is told nothing: for them there is nothing to look up.
//
// Other nodes are waited for whether a token was found or not. Whoever reports one that is being killed at this moment is
// promised the same as who was first, and an answer takes as long in either case.
func (s *Service) kill(ctx context.Context, c Caller, finder string, leaks []Leak) (found []bool, err error) {
	var notices []*death
	err = s.update(ctx, func(tx store.Tx) error {
		found, notices = make([]bool, len(leaks)), nil // it may run more than once
		for i := range leaks {
			secret, ok := token.Parse([]byte(leaks[i].Token))
			if !ok {
				continue
			}
			d, err := s.killToken(ctx, tx, c, secret)
			if errors.Is(err, store.ErrNotFound) && finder != "" {
				d, err = s.killedBefore(ctx, tx, c, secret)
			}
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if !d.before {
				d.notice.Finder, d.notice.URL = finder, told(leaks[i].URL, maxURL)
				notices = append(notices, d)
			}
			found[i] = true
			d.entry.After = d.after(finder, leaks[i]).text()
			tx.Record(d.entry)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, d := range notices {
		if s.mailer != nil {
			s.mailer.SendLeak(d.email, d.notice)
		}
	}
	return found, nil
}

// death is what there is to say of a token that was killed.
type death struct {
	entry    audit.Entry
	before   bool // another report has killed it: there is nothing left to do, and nobody to tell
	disabled bool // its key was, too
	email    string
	notice   LeakNotice
}

// killToken kills one token. It returns store.ErrNotFound where it is nobody's.
func (s *Service) killToken(ctx context.Context, tx store.Tx, c Caller, secret token.Token) (*death, error) {
	known, err := tx.RecordByDigest(ctx, secret.Digest())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("leaked token: %w", err)
	}
	if err := tx.DeleteToken(ctx, secret.Digest()); err != nil { // also of an unknown one: see store.Tx
		return nil, err
	}
	k, err := tx.Key(ctx, known.KeyID)
	if err != nil {
		return nil, fmt.Errorf("key %d: %w", known.KeyID, err)
	}
	leak := store.Leak{KeyID: k.ID, OrganizationID: k.OrganizationID, At: s.now()}
	if err := tx.KeepLeak(ctx, secret.Digest(), leak); err != nil {
		return nil, fmt.Errorf("remember the leak: %w", err)
	}
	d := s.deathOf(c, leak)
	before := fields{"key_hint": secret.Hint()}
	old := known.TokenExpiresAt != 0
	if d.disabled = !old && k.Enabled; d.disabled {
		before["enabled"] = true
		k.Enabled, k.UpdatedAt = false, s.now()
		if err := tx.UpdateKey(ctx, k); err != nil {
			return nil, fmt.Errorf("disable key %d: %w", k.ID, err)
		}
	}
	d.entry.Before = before.text()
	d.notice = LeakNotice{KeyID: k.ID, KeyName: k.Name, Hint: secret.Hint(), Old: old, IP: c.IP, At: d.entry.OccurredAt}
	return d, s.address(ctx, tx, &k, d)
}

// killedBefore is about a token that another report has killed. It returns store.ErrNotFound where none has. The key may have been
// deleted since, and its organization as well: the log tells of keys and organizations that are gone, by their ids.
func (s *Service) killedBefore(ctx context.Context, tx store.Tx, c Caller, secret token.Token) (*death, error) {
	leak, err := tx.Leaked(ctx, secret.Digest())
	if err != nil {
		return nil, fmt.Errorf("token that leaked before: %w", err)
	}
	d := s.deathOf(c, leak)
	d.before = true
	d.entry.Before = fields{"key_hint": secret.Hint(), "ended_at": moment(leak.At)}.text()
	return d, nil
}

func (s *Service) deathOf(c Caller, l store.Leak) *death {
	d := &death{entry: s.entry(c, reportLeak, audit.Target{Type: audit.Key, ID: l.KeyID}).Entry}
	d.entry.OrganizationID = l.OrganizationID
	return d
}

// address finds out whom to tell.
func (s *Service) address(ctx context.Context, tx store.Tx, k *key.Key, d *death) error {
	user, err := tx.User(ctx, k.UserID)
	if err != nil {
		return fmt.Errorf("user %d: %w", k.UserID, err)
	}
	organization, err := tx.Organization(ctx, k.OrganizationID)
	if err != nil {
		return fmt.Errorf("organization %d: %w", k.OrganizationID, err)
	}
	d.email, d.notice.Organization = user.Email, organization.Name
	return nil
}

// after is what the audit log says of a token that was found.
func (d *death) after(finder string, l Leak) fields {
	f := fields{"reported_by": cmp.Or(finder, "holder")}
	if d.disabled {
		f["enabled"] = false
	}
	if source := told(l.Source, maxSource); source != "" {
		f["source"] = source
	}
	if url := told(l.URL, maxURL); url != "" {
		f["url"] = url
	}
	return f
}

// How much of what a finder says is kept, in bytes.
const (
	maxSource = 64
	maxURL    = 1024
)

// told is what a finder says, as far as it can be kept and shown: a text of printable characters, cut off where it is too
// long, and nothing at all where a token is in it, as in the address of a file that is called like one.
func told(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	switch {
	case token.Within([]byte(text)):
		return ""
	case len(text) > most:
		return strings.ToValidUTF8(text[:most], "")
	}
	return text
}
