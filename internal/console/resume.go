package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
)

// pageResume is the template of this page.
const pageResume = "resume"

// keptForm is a form that somebody has sent when their session had ended. It goes along with the page to sign in at, and comes back
// from there: the server keeps nothing.
type keptForm struct {
	Path   string // where it was sent; "": there is none
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
	return mayKeep(v.r.URL.Path, v.r.PostForm)
}

// kept returns the form that the page to sign in at has brought along.
func (v *visit) kept() keptForm {
	values, err := url.ParseQuery(v.r.PostForm.Get("kept"))
	if err != nil {
		return keptForm{}
	}
	return mayKeep(v.r.PostForm.Get("kept_path"), values)
}

// mayKeep returns a form that may be kept; otherwise one without a path. What it says goes to a page of the console and nowhere else.
func mayKeep(path string, values url.Values) keptForm {
	if local(path) == "/" || strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, signOutPath) || path == appearancePath {
		return keptForm{}
	}
	for _, name := range secretFields {
		if values.Has(name) {
			return keptForm{}
		}
	}
	return keptForm{path, values}
}

// resume begins a session, and offers to send what was kept. It is not sent by itself: somebody else may have signed in, and a while
// may have passed.
func (c *Console) resume(v *visit, s admin.Started, kept keptForm) error {
	v.set(browser.SignedIn(s.Secret, s.Device, s.ExpiresAt)...)
	v.session, v.caller.UserID, v.caller.SessionID = s.Session, s.UserID, s.ID
	if err := c.identify(v); err != nil {
		return err
	}
	return c.show(v, http.StatusOK, pageResume, frame{Title: "You are signed in again", Narrow: true, Main: kept})
}
