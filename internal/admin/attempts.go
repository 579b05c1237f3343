package admin

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/throttle"
)

// attempts bounds how often somebody may guess. Guessing is hopeless for everybody, and nobody is locked out by others:
//
//   - From one address, few attempts on one account and some more on all accounts together may fail. So may attempts on one
//     account from all addresses together, which is what bounds somebody with many addresses.
//   - A browser that has signed in to the account before has attempts of its own, which others cannot use up, and so has a
//     session. A one-time link that is good always works.
//
// Mails with one-time links are bounded apart: whoever asks for many of somebody's must not keep that person from signing in,
// nor fill their mailbox. So are reports of leaked tokens, which no guessing makes true, but which write to the database.
type attempts struct {
	byAddress, byPair, byAccount, byDevice *throttle.Limiter
	links, asking, mails, reports          *throttle.Limiter
}

// The limits, and for how many names they are kept: more than the attempts that a server can compute while a bucket
// drains, at some 90 bytes each.
var (
	perAddress = throttle.Limit{Burst: 20, Every: 30 * time.Second}
	perPair    = throttle.Limit{Burst: 5, Every: time.Minute}
	perAccount = throttle.Limit{Burst: 50, Every: 36 * time.Second} // 100 an hour
	perDevice  = throttle.Limit{Burst: 10, Every: time.Minute}
	perMailbox = throttle.Limit{Burst: 5, Every: 3 * time.Minute}
	perFinder  = throttle.Limit{Burst: 100, Every: 3 * time.Second} // who has found one token may have found many
)

const maxNames = 1 << 18

func newAttempts(now func() time.Time) *attempts {
	return &attempts{
		byAddress: throttle.New(perAddress, maxNames, now), byPair: throttle.New(perPair, maxNames, now),
		byAccount: throttle.New(perAccount, maxNames, now), byDevice: throttle.New(perDevice, maxNames, now),
		links: throttle.New(perAddress, maxNames, now), asking: throttle.New(perAddress, maxNames, now), mails: throttle.New(perMailbox, maxNames, now),
		reports: throttle.New(perFinder, maxNames, now),
	}
}

// counted is a bucket that an attempt was counted in.
type counted struct {
	limiter *throttle.Limiter
	name    string
}

// onAccount counts an attempt on the account of an e-mail address. device is that of a device which has signed in to it
// before, zero for another one. The attempt must be given back by undo where it succeeds, or was not made.
func (a *attempts) onAccount(email, ip string, device key.Digest) (undo func(), err error) {
	account := strings.ToLower(email)
	if device != (key.Digest{}) {
		return try(counted{a.byDevice, account + "\x00" + string(device[:])})
	}
	address := addressOf(ip)
	return try(counted{a.byPair, account + "\x00" + address}, counted{a.byAddress, address}, counted{a.byAccount, account})
}

// inSession counts an attempt at the password of whoever's session it is. Only who has the session can use them up.
func (a *attempts) inSession(id int64) (undo func(), err error) {
	return try(counted{a.byDevice, "session " + strconv.FormatInt(id, 10)})
}

// atLinks counts a one-time link that is tried from an address. It must be given back by undo where the link is good; one
// that is good works although err is not nil.
func (a *attempts) atLinks(ip string) (undo func(), err error) {
	return try(counted{a.links, addressOf(ip)})
}

// ask counts a request for a mail from an address.
func (a *attempts) ask(ip string) error {
	_, err := try(counted{a.asking, addressOf(ip)})
	return err
}

// mail reports whether another mail may go to an e-mail address now.
func (a *attempts) mail(email string) bool { return a.mails.Try(strings.ToLower(email)) == 0 }

// report counts a report of a leaked token from an address.
func (a *attempts) report(ip string) error {
	if wait := a.reports.Try(addressOf(ip)); wait > 0 {
		return &key.Error{Code: key.RateLimited, Wait: wait, Detail: "too many reports from your address; wait, and report the rest then"}
	}
	return nil
}

// addressOf returns the addresses that one client is likely to have, under one name.
func addressOf(ip string) string {
	addr, _ := netip.ParseAddr(ip) // none is one, too: that of a unix socket
	return throttle.AddressGroup(addr)
}

// try counts an attempt in each bucket, or in none.
func try(buckets ...counted) (undo func(), err error) {
	refund := func(n int) {
		for _, b := range buckets[:n] {
			b.limiter.Refund(b.name)
		}
	}
	for i, b := range buckets {
		if wait := b.limiter.Try(b.name); wait > 0 {
			refund(i)
			return nil, &key.Error{Code: key.RateLimited, Wait: wait, Detail: "too many attempts; wait, or sign in with a one-time link"}
		}
	}
	return func() { refund(len(buckets)) }, nil
}
