package console

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
)

// pagePassword is the template of this page.
const pagePassword = "password"

const passwordPath = "/account/password"

// passwordPages are those to choose a password with.
func (c *Console) passwordPages() []Page {
	return []Page{
		c.page(http.MethodGet, passwordPath, c.signedIn(c.password)),
		c.page(http.MethodPost, passwordPath, c.signedIn(c.setPassword)),
	}
}

const notePassword note = "password"

var passwordNotes = map[note]string{notePassword: "Your password is set. All your other sessions have ended."}

// passwordPage is what the page to choose a password says.
type passwordPage struct {
	Problem string // what is wrong with no field; "": nothing
	First   bool   // it is what the reader has come for
	Email   string // for the browser that keeps passwords
	Set     bool   // there is one already
	Back    string // where somebody goes who chooses none

	asksCurrent                        bool
	currentError, newError, againError string
}

// passwordHint says beforehand what makes a password good.
var passwordHint = fmt.Sprintf("At least %d characters. A few words that do not belong together are good, and easy to keep in mind.", password.MinLength)

func (c *Console) password(v *visit) error { return c.showPassword(v, http.StatusOK, passwordPage{}) }

// showPassword shows the page with what is known of the caller beside what is in p.
func (c *Console) showPassword(v *visit, status int, p passwordPage) error {
	p.Email, p.Set, p.First, p.Back = v.me.User.Email, v.me.HasPassword, v.firstPassword(), accountPath
	p.asksCurrent = p.Set && v.session.Method != key.ByLink
	if p.First {
		p.Back = keysPath
	}
	title := "Change your password"
	switch {
	case !p.Set:
		title = "Choose a password"
	case p.First:
		title = "Choose a new password"
	}
	return c.show(v, status, pagePassword, frame{Title: title, Section: sectionAccount, Narrow: true, Main: p})
}

// firstPassword reports whether the reader has signed in with a link and chosen no password since.
func (v *visit) firstPassword() bool {
	// Until the user has changed since: a password is all that does that.
	return v.session.Method == key.ByLink && !v.me.User.UpdatedAt.After(v.session.CreatedAt)
}

// setPassword sets the password.
func (c *Console) setPassword(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	wanted, again := v.r.PostForm.Get("new_password"), v.r.PostForm.Get("again")
	var p passwordPage
	if wanted != again {
		p.againError = "This is not what stands above."
		return c.showPassword(v, http.StatusUnprocessableEntity, p)
	}
	err := c.Admin.SetPassword(v.r.Context(), v.caller, v.r.PostForm.Get("current_password"), wanted)
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil:
		to := accountPath
		if v.firstPassword() {
			to = keysPath
		}
		v.goTo(to, notePassword)
		return nil
	case rule == nil:
		return err
	case rule.Code == key.Invalid:
		p.blame(rule.Faults)
		return c.showPassword(v, http.StatusUnprocessableEntity, p)
	case rule.Code == key.RateLimited:
		v.retryAfter(rule.Wait)
		p.Problem = tooMany(rule.Wait)
		return c.showPassword(v, http.StatusTooManyRequests, p)
	default:
		return err
	}
}

// blame puts faults beside the fields that they are of.
func (p *passwordPage) blame(faults []key.Fault) {
	for _, f := range faults {
		switch f.Pointer {
		case "/current_password":
			p.currentError = sentence(f.Detail)
		case "/new_password":
			p.newError = sentence(f.Detail)
		default:
			p.Problem = sentence(f.Detail)
		}
	}
}

// Fields are those of the form.
func (p passwordPage) Fields() []field {
	var all []field
	if p.asksCurrent {
		all = append(all, field{Name: "current_password", Label: "Current password", Type: "password", Required: true, Complete: "current-password",
			Error: p.currentError, Focus: p.currentError != "" || p.newError == "" && p.againError == ""})
	}
	return append(all,
		field{Name: "new_password", Label: "New password", Type: "password", Required: true, Complete: "new-password", Error: p.newError,
			Hint: passwordHint, Focus: p.newError != "" && p.currentError == "" || !p.asksCurrent && p.againError == ""},
		field{Name: "again", Label: "The same again", Type: "password", Required: true, Complete: "new-password", Error: p.againError,
			Focus: p.againError != ""})
}
