package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
)

// pageAccount is the template of this page.
const pageAccount = "account"

const (
	accountPath  = "/account"
	sessionsPath = "/account/sessions"

	disconnectPath = "/account/identities/disconnect"
)

// accountPages are those of one's own account.
func (c *Console) accountPages() []Page {
	return []Page{
		c.page(http.MethodGet, accountPath, c.signedIn(c.account)),
		c.page(http.MethodPost, sessionsPath+"/end-others", c.signedIn(c.endOtherSessions)),
		c.page(http.MethodPost, sessionsPath+"/{session_id}/end", c.signedIn(c.endSession)),
		c.page(http.MethodPost, disconnectPath, c.signedIn(c.disconnect)),
		c.page(http.MethodGet, disconnectPath, goTo(accountPath)),
	}
}

// What has been done.
const (
	noteSession   note = "session"
	noteSessions  note = "sessions"
	noteConnected note = "connected"

	noteDisconnected note = "disconnected"
)

var accountNotes = map[note]string{
	noteSession:   "The session has ended.",
	noteSessions:  "All your other sessions have ended.",
	noteConnected: "You can now sign in this way, too.",

	noteDisconnected: "You cannot sign in this way any more. Sessions that were begun with it go on: end them below.",
}

// accountPage is what the page of one's own account says.
type accountPage struct {
	Problem string // what is wrong with no field; "": nothing

	Email         string
	InstanceAdmin bool
	Organizations []key.Membership

	HasPassword bool
	Provider    string // with whom an identity can be connected; "": nobody
	Identities  []identityRow
	Disconnect  string // address to disconnect one at

	Sessions []sessionRow
	Others   bool  // there are more than the one that the reader is in
	Older    int64 // where the next page of sessions begins; 0: there is none
}

// sessionRow is a session in the list.
type sessionRow struct {
	key.Session
	Browser string
	By      string // how it was begun
	Current bool
}

// identityRow is an identity that the reader signs in with.
type identityRow struct {
	key.Connection
	Host string // of the provider, which people know it by
}

// sessionsShown is how many sessions one page shows.
const sessionsShown = 20

func (c *Console) account(v *visit) error { return c.showAccount(v, http.StatusOK, accountPage{}) }

// showAccount shows the page with what is known of the caller beside what is in p.
func (c *Console) showAccount(v *visit, status int, p accountPage) error {
	query := v.r.URL.Query()
	before, _ := strconv.ParseInt(query.Get("before"), 10, 64) // anything else is the first page
	found, more, err := c.Admin.Sessions(v.r.Context(), v.caller, before, sessionsShown)
	if err != nil {
		return err
	}
	for _, s := range found {
		p.Sessions = append(p.Sessions, sessionRow{Session: s, Browser: browserName(s.UserAgent), By: methods[s.Method], Current: s.ID == v.session.ID})
	}
	p.Others = len(p.Sessions) > 1 || more
	if more {
		p.Older = found[len(found)-1].ID
	}
	if c.Provider != nil {
		p.Provider = c.ProviderName
	}
	p.Disconnect = disconnectPath
	connections, err := c.Admin.Identities(v.r.Context(), v.caller)
	if err != nil {
		return err
	}
	for _, one := range connections {
		p.Identities = append(p.Identities, identityRow{one, hostOf(one.Issuer)})
	}
	me := v.me
	p.Email, p.InstanceAdmin, p.Organizations, p.HasPassword = me.User.Email, me.User.InstanceAdmin, me.Memberships, me.HasPassword
	return c.show(v, status, pageAccount, frame{Title: "Your account", Section: sectionAccount, Main: p})
}

// hostOf returns the host that an issuer's address names, or all of it where it names none.
func hostOf(issuer string) string {
	if u, err := url.Parse(issuer); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return issuer
}

// disconnect takes away an identity that the caller signs in with.
func (c *Console) disconnect(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	err := c.Admin.UnbindIdentity(v.r.Context(), v.caller, v.r.PostForm.Get("issuer"), v.r.PostForm.Get("subject"))
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil, isCode(err, key.NotFound): // it is gone already
		v.goTo(accountPath, noteDisconnected)
		return nil
	case rule != nil && rule.Code == key.Conflict:
		return c.showAccount(v, http.StatusConflict, accountPage{Problem: sentence(rule.Detail)})
	default:
		return err
	}
}

// methods says how a session was begun.
var methods = map[key.Method]string{key.ByPassword: "a password", key.ByLink: "a one-time link", key.ByOIDC: "an identity provider"}

// endSession ends a session of the caller's, maybe the one that they are in.
func (c *Console) endSession(v *visit) error {
	id, err := v.id("session_id")
	if err != nil {
		return err
	}
	if id == v.session.ID {
		return c.signOut(v)
	}
	if err := c.end(v.r.Context(), v.caller, id); err != nil {
		return err
	}
	v.goTo(accountPath, noteSession)
	return nil
}

// endOtherSessions ends all sessions of the caller's but the one that they are in.
func (c *Console) endOtherSessions(v *visit) error {
	if err := c.Admin.EndOtherSessions(v.whole(), v.caller); err != nil {
		return err
	}
	v.goTo(accountPath, noteSessions)
	return nil
}

// browserNames are parts of what browsers call themselves and what people call them, in the order in which they are looked
// for: most claim to be others, too.
var (
	browserNames = [][2]string{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"Chrome/", "Chrome"},
		{"CriOS/", "Chrome"}, {"Safari/", "Safari"}, {"apikeyd", "the command line"}, {"curl/", "curl"}}
	systemNames = [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// browserName returns what people call a browser, or what it calls itself where it is none of the usual ones.
func browserName(agent string) string {
	first := func(names [][2]string) string {
		for _, n := range names {
			if strings.Contains(agent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	name, system := first(browserNames), first(systemNames)
	switch {
	case agent == "":
		return "A program without a name"
	case name == "":
		return agent
	case system == "":
		return name
	default:
		return name + " on " + system
	}
}
