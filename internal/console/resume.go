package console

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
)

// pageResume is the template of this page.
const pageResume = "resume"

const resumePath = "/resume"

// resumePages are those for what was sent in a session that had ended.
func (c *Console) resumePages() []Page {
	return []Page{
		c.page(http.MethodGet, resumePath, c.signedIn(c.resumeForm)),
		c.page(http.MethodPost, resumePath, c.signedIn(leaveForm)),
	}
}

// keptForm is a form that somebody has sent when their session had ended. It goes along with the page to sign in at, and comes back
// from there, and in a cookie for those who sign in elsewhere, or with a link: the server keeps nothing.
//
// It is offered to the user alone whose session it was, as far as the browser knows: a browser may be used by several.
type keptForm struct {
	Path   string // where it was sent; "": there is none
	User   int64
	values url.Values
}

// Encoded returns what was typed, as a browser sends it.
func (k keptForm) Encoded() string { return k.values.Encode() }

// keptValue is a field of a form that is kept.
type keptValue struct{ Name, Value string }

// Label is the field's name for people: "key_name" is "key name".
func (k keptValue) Label() string { return strings.ReplaceAll(k.Name, "_", " ") }

// Values returns what was typed, a field each.
func (k keptForm) Values() (all []keptValue) {
	for name, values := range k.values {
		for _, value := range values {
			all = append(all, keptValue{name, strings.ToValidUTF8(value, "\uFFFD")})
		}
	}
	slices.SortStableFunc(all, func(a, b keptValue) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Typed returns what there is to see of it: not what the page has put there itself.
func (k keptForm) Typed() []keptValue {
	return slices.DeleteFunc(k.Values(), func(v keptValue) bool { return v.Name == onceField || v.Name == asField || v.Value == "" })
}

// secretFields are those whose content no page repeats. A form that has one is not kept.
var secretFields = []string{"password", "current_password", "new_password", "again"}

// keep returns the form that a request has brought, where it can be sent again.
func (v *visit) keep() keptForm {
	if v.r.Method != http.MethodPost || v.form() != nil || len(v.r.PostForm) == 0 {
		return keptForm{}
	}
	return mayKeep(v.lastUser(), v.r.URL.Path, v.r.PostForm)
}

// lastUser returns the id of the user whose session it is, or was, as far as the browser knows; 0: nobody's.
func (v *visit) lastUser() int64 {
	if v.caller.UserID != 0 {
		return v.caller.UserID
	}
	return userID(browser.Preferred(v.r, browser.User))
}

// userID reads the id of a user; 0: it is none.
func userID(text string) int64 {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

// kept returns the form that the page to sign in at has brought along.
func (v *visit) kept() keptForm {
	values, err := url.ParseQuery(v.r.PostForm.Get("kept"))
	if err != nil {
		return keptForm{}
	}
	return mayKeep(userID(v.r.PostForm.Get("kept_user")), v.r.PostForm.Get("kept_path"), values)
}

// mayKeep returns a form that may be kept; otherwise one without a path. What it says goes to a page of the console and nowhere else.
func mayKeep(user int64, path string, values url.Values) keptForm {
	if user == 0 || local(path) == "/" || path == resumePath || strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, signOutPath) || path == appearancePath {
		return keptForm{}
	}
	for _, name := range secretFields {
		if values.Has(name) {
			return keptForm{}
		}
	}
	return keptForm{path, user, values}
}

// packed returns the form as a cookie can carry it, "" where it is too long for one.
func (k keptForm) packed() string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = fmt.Fprintf(w, "%d\n%s\n%s", k.User, k.Path, k.Encoded())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil { // the level is right, and memory takes everything
		panic(err)
	}
	if text := base64.RawURLEncoding.EncodeToString(b.Bytes()); len(text) <= browser.MaxKept {
		return text
	}
	return ""
}

// unpack reads what packed has written. What is anything else is no form.
func unpack(text string) keptForm {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return keptForm{}
	}
	r := flate.NewReader(bytes.NewReader(b))
	plain, err := io.ReadAll(io.LimitReader(r, maxForm)) // a few bytes can be made to become many
	if err != nil || len(plain) == maxForm {
		return keptForm{}
	}
	user, rest, _ := strings.Cut(string(plain), "\n")
	path, encoded, _ := strings.Cut(rest, "\n")
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return keptForm{}
	}
	return mayKeep(userID(user), path, values)
}

// Elsewhere reports whether it is kept for those who sign in elsewhere, or with a link, as well.
func (k keptForm) Elsewhere() bool { return k.packed() != "" }

// keepInBrowser has the browser keep a form, in the place of one that it may have kept before.
func (v *visit) keepInBrowser(k keptForm) {
	if text := k.packed(); text != "" {
		v.set(browser.Keep(text))
	} else {
		v.dropKept()
	}
}

// dropKept has the browser forget a form that it has kept.
func (v *visit) dropKept() {
	if browser.Kept(v.r) != "" {
		v.set(browser.DropKept())
	}
}

// beginAgain begins a session that was begun elsewhere, or with a link. It goes to what the user has sent before, if there is
// something, or else where it is good for something.
func (v *visit) beginAgain(s admin.Started, to string) {
	if k := unpack(browser.Kept(v.r)); k.Path != "" && k.User == s.UserID {
		to = resumePath
	} else {
		v.dropKept()
	}
	v.begin(s, to)
}

// resume begins a session with a password, and offers to send what was kept. It is not sent by itself: a while may have passed.
func (c *Console) resume(v *visit, s admin.Started, kept keptForm) error {
	v.set(browser.SignedIn(s.Secret, s.Device, s.ExpiresAt)...)
	v.session, v.caller.UserID, v.caller.SessionID = s.Session, s.UserID, s.ID
	if err := c.identify(v); err != nil {
		return err
	}
	return c.showResume(v, kept)
}

// resumePage is what the page says that offers to send a form again.
type resumePage struct {
	keptForm
	Leave  string // address that forgets it
	ByLink bool   // the reader has signed in with a link, and chosen no password since
}

func (c *Console) showResume(v *visit, kept keptForm) error {
	p := resumePage{keptForm: kept, Leave: resumePath, ByLink: v.firstPassword()}
	return c.show(v, http.StatusOK, pageResume, frame{Title: "You are signed in again", Narrow: true, Main: p})
}

// resumeForm offers to send what the browser has kept, to whose it is.
func (c *Console) resumeForm(v *visit) error {
	kept := unpack(browser.Kept(v.r))
	if kept.Path == "" || kept.User != v.caller.UserID {
		v.goTo(keysPath, "")
		return nil
	}
	return c.showResume(v, kept)
}

// leaveForm goes on without sending it. That it is forgotten is so with everything that is sent.
func leaveForm(v *visit) error {
	if v.firstPassword() {
		v.goTo(passwordPath, "")
	} else {
		v.goTo(keysPath, "")
	}
	return nil
}
