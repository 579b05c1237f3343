package console

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
)

// accountPage is what the page of one's own account says.
type accountPage struct {
	Problem string // what is wrong with no field; "": nothing

	Email         string
	InstanceAdmin bool
	Organizations []key.Membership

	Password passwordForm
	Provider string // with whom an identity can be connected; "": nobody

	Sessions []sessionRow
	Older    int64 // where the next page of sessions begins; 0: there is none
}

// passwordForm is the form to choose a password with.
type passwordForm struct {
	First       bool   // it is what the reader has come for
	Email       string // for the browser that keeps passwords
	Set         bool   // there is one already
	ByLink      bool   // the session was begun with a one-time link
	AsksCurrent bool

	CurrentError, NewError, AgainError string
}

// passwordHint says beforehand what makes a password good.
var passwordHint = fmt.Sprintf("At least %d characters. A few words that do not belong together are good, and easy to keep in mind.", password.MinLength)

// sessionRow is a session in the list.
type sessionRow struct {
	key.Session
	Browser string
	By      string // how it was begun
	Current bool
}

// sessionsShown is how many sessions one page shows.
const sessionsShown = 20

func (c *Console) account(v *visit) error { return c.showAccount(v, http.StatusOK, accountPage{}) }

// showAccount shows the page with what is known of the caller beside what is in p.
func (c *Console) showAccount(v *visit, status int, p accountPage) error {
	me, err := c.Admin.Me(v.r.Context(), v.caller)
	if err != nil {
		return err
	}
	query := v.r.URL.Query()
	before, _ := strconv.ParseInt(query.Get("before"), 10, 64) // anything else is the first page
	found, more, err := c.Admin.Sessions(v.r.Context(), v.caller, before, sessionsShown)
	if err != nil {
		return err
	}
	for _, s := range found {
		p.Sessions = append(p.Sessions, sessionRow{Session: s, Browser: browserName(s.UserAgent), By: methods[s.Method], Current: s.ID == v.session.ID})
	}
	if more {
		p.Older = found[len(found)-1].ID
	}
	if c.Provider != nil {
		p.Provider = c.ProviderName
	}
	p.Email, p.InstanceAdmin, p.Organizations = me.User.Email, me.User.InstanceAdmin, me.Memberships
	w := &p.Password
	w.Email, w.Set, w.ByLink = me.User.Email, me.HasPassword, v.session.Method == key.ByLink
	w.AsksCurrent = w.Set && !w.ByLink
	// Until the user has changed since: a password is all that does that.
	w.First = w.ByLink && !me.User.UpdatedAt.After(v.session.CreatedAt)
	return c.show(v, status, pageAccount, frame{Title: "Your account", User: p.Email, Main: p})
}

// methods says how a session was begun.
var methods = map[key.Method]string{key.ByPassword: "a password", key.ByLink: "a one-time link", key.ByOIDC: "an identity provider"}

// setPassword sets the password.
func (c *Console) setPassword(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	wanted, again := v.r.PostForm.Get("new_password"), v.r.PostForm.Get("again")
	var p accountPage
	if wanted != again {
		p.Password.AgainError = "This is not what stands above."
		return c.showAccount(v, http.StatusUnprocessableEntity, p)
	}
	err := c.Admin.SetPassword(v.r.Context(), v.caller, v.r.PostForm.Get("current_password"), wanted)
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil:
		v.goTo(accountPath, notePassword)
		return nil
	case rule == nil:
		return err
	case rule.Code == key.Invalid:
		p.blame(rule.Faults)
		return c.showAccount(v, http.StatusUnprocessableEntity, p)
	case rule.Code == key.RateLimited:
		v.retryAfter(rule.Wait)
		p.Problem = tooMany(rule.Wait)
		return c.showAccount(v, http.StatusTooManyRequests, p)
	default:
		return err
	}
}

// blame puts faults beside the fields that they are of.
func (p *accountPage) blame(faults []key.Fault) {
	for _, f := range faults {
		switch f.Pointer {
		case "/current_password":
			p.Password.CurrentError = sentence(f.Detail)
		case "/new_password":
			p.Password.NewError = sentence(f.Detail)
		default:
			p.Problem = sentence(f.Detail)
		}
	}
}

// endSession ends a session of the caller's, maybe the one that they are in.
func (c *Console) endSession(v *visit) error {
	id, err := strconv.ParseInt(path.Base(path.Dir(v.r.URL.Path)), 10, 64)
	if err != nil {
		return &key.Error{Code: key.NotFound, Detail: "there is no such session"}
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
