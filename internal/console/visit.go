package console

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
)

// visit is one request and its answer.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	caller  admin.Caller // nobody in particular where there is no session
	session key.Session  // zero: there is none
	lost    bool         // the browser has named a session that has ended

	me     *admin.Me    // who has signed in; nil: not looked up
	looked organization // the one that the page is about; zero: not looked up
}

// handler serves a page. What it returns as an error is shown by fail.
type handler func(*visit) error

// page takes requests through the steps that all pages have in common. What stands in braces in the pattern is a path value of
// the request.
func (c *Console) page(method, pattern string, serve handler) Page {
	return Page{method, pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPathValues(r, pattern)
		protect(w.Header())
		v := &visit{w: w, r: r, caller: admin.Caller{IP: c.Client.Address(r), RequestID: w.Header().Get("X-Request-Id")}}
		err := c.Guard.Check(r)
		if err == nil {
			err = c.recognize(v)
		}
		if err == nil {
			err = serve(v)
		}
		if err != nil {
			c.fail(v, err)
		}
	})}
}

// setPathValues gives a request the values that its path has in the places of a pattern's names.
func setPathValues(r *http.Request, pattern string) {
	texts := strings.Split(r.URL.Path, "/")
	for i, name := range strings.Split(pattern, "/") {
		if strings.HasPrefix(name, "{") && i < len(texts) {
			r.SetPathValue(strings.Trim(name, "{}"), texts[i])
		}
	}
}

// policy allows a page its style, script and icon, to ask for pages, and to send forms here. There is nothing written into the
// page itself, no other host, and no frame to be shown in.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// protect sets the headers that all pages have. The address of a page may be a secret, and what it says is one person's.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know the policy
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// recognize finds out whose session a request was made in.
func (c *Console) recognize(v *visit) error {
	secret := browser.Session(v.r)
	if secret == "" {
		return nil
	}
	session, err := c.Admin.Authenticate(v.r.Context(), secret)
	if errors.Is(err, &key.Error{Code: key.Unauthenticated}) {
		v.lost = true
		return nil
	}
	v.session, v.caller.UserID, v.caller.SessionID = session, session.UserID, session.ID
	return err
}

// signedIn is a page for those who have signed in. Others are asked to.
func (c *Console) signedIn(serve handler) handler {
	return func(v *visit) error {
		if v.session.ID == 0 {
			return c.askToSignIn(v)
		}
		if v.somebodyElses() {
			return c.refuseSomebodyElses(v)
		}
		if err := c.identify(v); err != nil {
			return err
		}
		if v.r.Method == http.MethodPost {
			v.dropKept() // this may be it, and otherwise somebody has gone on
		}
		return serve(v)
	}
}

// asField is the hidden field that says whose form it is: the id of who had signed in when it was shown.
const asField = "as"

// somebodyElses reports whether a form was shown to another user than the one who has signed in since, in another tab maybe.
func (v *visit) somebodyElses() bool {
	if v.r.Method != http.MethodPost || v.form() != nil { // whoever serves the page says what is wrong with it
		return false
	}
	as := v.r.PostForm.Get(asField)
	return as != "" && as != strconv.FormatInt(v.session.UserID, 10)
}

// refuseSomebodyElses explains why nothing was done.
func (c *Console) refuseSomebodyElses(v *visit) error {
	if err := c.identify(v); err != nil {
		return err
	}
	return &refusal{status: http.StatusConflict, title: "You are somebody else by now", text: "When this form was opened, another user had signed in than " +
		isolated(v.me.User.Email) + ", who has now. Nothing was done. If it is meant all the same, open the form again."}
}

// identify looks up who has signed in.
func (c *Console) identify(v *visit) error {
	me, err := c.Admin.Me(v.r.Context(), v.caller)
	if err != nil {
		return err
	}
	v.me = &me
	if id := strconv.FormatInt(me.User.ID, 10); browser.Preferred(v.r, browser.User) != id {
		v.set(browser.Prefer(browser.User, id))
	}
	return nil
}

// askToSignIn takes somebody who needs a session to where one begins. What they have typed is kept meanwhile.
func (c *Console) askToSignIn(v *visit) error {
	ended := v.lost || v.session.ID != 0
	if ended {
		v.set(browser.SignedOut()...)
	}
	if kept := v.keep(); kept.Path != "" {
		v.keepInBrowser(kept)
		return c.showSignIn(v, http.StatusUnauthorized, signInPage{Kept: kept})
	}
	to := SignInPath
	if path := here(v.r); path != "/" && path != keysPath && path != accountPath {
		to += "?" + url.Values{toParameter: {path}}.Encode()
	}
	if ended {
		v.goTo(to, noteEnded)
	} else {
		v.goTo(to, "")
	}
	return nil
}

// toParameter names where somebody wanted to go who had to sign in first.
const toParameter = "to"

// whole is the context of what must be carried through even where the reader hangs up, as somebody does who presses a button twice.
func (v *visit) whole() context.Context { return context.WithoutCancel(v.r.Context()) }

// set sets cookies.
func (v *visit) set(cookies ...*http.Cookie) {
	for _, c := range cookies {
		http.SetCookie(v.w, c)
	}
}

// goTo sends the browser to another page, which says what has been done where n is a note.
func (v *visit) goTo(path string, n note) {
	if n != "" {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + noteParameter + "=" + string(n)
	}
	v.w.Header().Set("Location", path)
	v.w.WriteHeader(http.StatusSeeOther)
}

// goTo is a page that sends the browser to another one.
func goTo(path string) handler {
	return func(v *visit) error {
		v.goTo(path, "")
		return nil
	}
}

// Bounds of a form.
const (
	maxForm  = 64 << 10 // bytes
	formType = "application/x-www-form-urlencoded"
)

// form reads the form that was sent.
func (v *visit) form() error {
	if kind, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type")); err != nil || kind != formType {
		return &refusal{status: http.StatusUnsupportedMediaType, title: "This is no form", text: "What was sent is no form of these pages. " +
			"Programs use the API instead."}
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	err := v.r.ParseForm()
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case tooLarge:
		return &refusal{status: http.StatusRequestEntityTooLarge, title: "That is too much", text: "What was sent is longer than any form here can be."}
	case err != nil:
		return &refusal{status: http.StatusBadRequest, title: "That could not be read", text: "What was sent is no form of these pages."}
	}
	return nil
}

// typed returns what somebody has typed into a field.
func (v *visit) typed(field string) string {
	return strings.ToValidUTF8(v.r.PostForm.Get(field), "\uFFFD")
}

// id returns the number that the path holds for a name in the page's pattern. Anything else than a number is not_found.
func (v *visit) id(name string) (int64, error) {
	id, err := strconv.ParseInt(v.r.PathValue(name), 10, 64)
	if err != nil || id <= 0 {
		return 0, &key.Error{Code: key.NotFound, Detail: "there is no such thing"}
	}
	return id, nil
}
