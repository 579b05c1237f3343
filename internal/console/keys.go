package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// pageKeys is the template of this page.
const pageKeys = "keys"

const keysPath = "/keys"

// keyPages are those of keys. Patterns that name a word come before those that take any.
func (c *Console) keyPages() []Page {
	return []Page{
		c.page(http.MethodGet, keysPath, c.signedIn(c.keys)),
		c.page(http.MethodGet, newKeyPath, c.signedIn(c.newKey)),
		c.page(http.MethodPost, newKeyPath, c.signedIn(c.createKey)),
		c.page(http.MethodGet, keyPattern, c.signedIn(c.key)),
		c.page(http.MethodGet, keyPattern+"/change", c.signedIn(c.changeKeyForm)),
		c.page(http.MethodPost, keyPattern+"/change", c.signedIn(c.changeKey)),
		c.page(http.MethodPost, keyPattern+"/state", c.signedIn(c.setKeyState)),
		c.page(http.MethodGet, keyPattern+"/state", c.signedIn(toKey)),
		c.page(http.MethodGet, keyPattern+"/rotate", c.signedIn(c.rotateKeyForm)),
		c.page(http.MethodPost, keyPattern+"/rotate", c.signedIn(c.rotateKey)),
		c.page(http.MethodGet, keyPattern+"/delete", c.signedIn(c.deleteKeyForm)),
		c.page(http.MethodPost, keyPattern+"/delete", c.signedIn(c.deleteKey)),
	}
}

// What has been done.
const (
	noteChanged  note = "key-changed"
	noteEnabled  note = "key-enabled"
	noteDisabled note = "key-disabled"
	noteDeleted  note = "key-deleted"

	noteCreatedBefore note = "key-created-before"
	noteRotatedBefore note = "key-rotated-before"
)

var keyNotes = map[note]string{
	noteChanged:  "The key is changed. It is so from now on, wherever it is checked.",
	noteEnabled:  "The key is enabled.",
	noteDisabled: "The key is disabled: from now on it is refused, wherever it is checked.",
	noteDeleted:  "The key is deleted: from now on it is refused, wherever it is checked.",

	noteCreatedBefore: "This was sent twice and done once: here is the key that it has made. Its secret was shown in the first answer. If you do not have it, rotate the key.",
	noteRotatedBefore: "This was sent twice and done once: the key has its new secret, which was shown in the first answer. If you do not have it, rotate the key again.",
}

// keysPage is what the list of keys says.
type keysPage struct {
	Action       string // where the filters are sent
	Fields       []field
	Organization string // the name of the one whose keys these are; "": those of the reader, wherever they are
	All          bool   // everybody's keys, and not the reader's alone
	Filtered     bool   // not all keys are meant
	Clear        string // address of the list without filters

	Keys             []keyRow
	ShowOrganization bool
	First, Next      string // addresses of other pages; "": there are none

	New     string // address of the page to create a key; "": the reader may create none here
	Example string // a command line that uses a key
}

// keyRow is a key in the list.
type keyRow struct {
	key.Key
	State        keyState
	URL          string
	Organization string
	Owner        string
}

// keyState is what a key is good for now.
type keyState struct{ Name, Class string }

// stateOf returns a key's state.
func stateOf(k *key.Key, now time.Time) keyState {
	const soon = 14 * 24 * time.Hour
	switch state := k.State(now); {
	case state == key.StateDisabled:
		return keyState{"disabled", "bad"}
	case state == key.StateExpired:
		return keyState{"expired", "bad"}
	case !k.ExpiresAt.IsZero() && k.ExpiresAt.Sub(now) < soon:
		return keyState{"expires soon", "warn"}
	default:
		return keyState{"active", "good"}
	}
}

// keysShown is how many keys one page shows.
const keysShown = 50

// ownKeys stands for the reader's own keys where an organization is chosen.
const ownKeys = "own"

// keyFilter is what the reader wants to see.
type keyFilter struct {
	organization int64 // 0: the reader's own keys, wherever they are
	name         string
	scope        string
	state        string
	sort         string
	before       int64
	after        key.Place // where the order is another than that of ids
}

// keysOf returns the address of an organization's keys; 0: of the reader's own.
func keysOf(organization int64) string {
	if organization == 0 {
		return keysPath
	}
	return keysPath + "?organization=" + strconv.FormatInt(organization, 10)
}

// keys shows the list.
func (c *Console) keys(v *visit) error {
	f, err := c.readFilter(v)
	if err != nil {
		return err
	}
	p := keysPage{Action: keysPath, Organization: v.looked.name, All: v.looked.manages, Filtered: f.name != "" || f.scope != "" || f.state != "",
		Clear: f.clear().address(), ShowOrganization: f.organization == 0, Example: c.exampleCall()}
	found, err := c.findKeys(v, f, &p)
	if err != nil {
		return err
	}
	p.Fields = f.fields(v)
	if v.mayCreate(v.looked) {
		p.New = newKeyOf(f.organization)
	}
	if p.Keys, err = c.keyRows(v, found, f.organization); err != nil {
		return err
	}
	return c.show(v, http.StatusOK, pageKeys, frame{Title: "Keys", Section: sectionKeys, Organization: f.organization, Main: p})
}

// findKeys returns the keys of a page, and says in p how the list goes on.
func (c *Console) findKeys(v *visit, f keyFilter, p *keysPage) ([]key.Key, error) {
	list := admin.KeyList{OrganizationID: f.organization, NameContains: f.name, Before: f.before, Order: keyOrders[f.sort], After: f.after, Limit: keysShown}
	list.Scope, _ = key.ParseScope(f.scope)
	list.State, _ = key.ParseState(f.state)
	found, more, err := c.Admin.Keys(v.r.Context(), v.caller, list)
	if err != nil {
		return nil, err
	}
	if f.turned() {
		p.First = f.behind(nil).address()
	}
	if more {
		p.Next = f.behind(&found[len(found)-1]).address()
	}
	return found, nil
}

// keyOrders are the orders that there are; without one, and with any other, the newest come first.
var keyOrders = map[string]key.Order{"oldest": key.OldestFirst, "name": key.ByName, "used": key.ByLastUse, "expires": key.ByExpiry}

// readFilter reads what the reader wants to see. Without an organization it is that which was looked at last.
func (c *Console) readFilter(v *visit) (keyFilter, error) {
	q := v.r.URL.Query()
	text := func(name string) string { return strings.ToValidUTF8(strings.TrimSpace(q.Get(name)), "\uFFFD") }
	f := keyFilter{name: text("q"), scope: text("scope"), state: text("state"), sort: text("sort")}
	f.before, _ = strconv.ParseInt(text("before"), 10, 64) // anything else is the first page
	f.after = readPlace(keyOrders[f.sort], strings.ToValidUTF8(q.Get("after"), "\uFFFD"))
	switch chosen := text("organization"); chosen {
	case ownKeys:
		return f, nil
	case "":
		f.organization = v.chosen(0).id
	default:
		id, err := strconv.ParseInt(chosen, 10, 64)
		if err != nil || id <= 0 {
			return f, &key.Error{Code: key.NotFound, Detail: "there is no such organization"}
		}
		f.organization = id
	}
	if f.organization == 0 {
		return f, nil
	}
	_, err := c.lookAt(v, f.organization)
	return f, err
}

// clear returns the filter without what narrows it.
func (f keyFilter) clear() keyFilter { return keyFilter{organization: f.organization} }

// turned reports whether it is another page than the first.
func (f keyFilter) turned() bool { return f.before != 0 || f.after != key.Place{} }

// behind returns the filter at the page behind a key; nil: at the first.
func (f keyFilter) behind(last *key.Key) keyFilter {
	f.before, f.after = 0, key.Place{}
	if order := keyOrders[f.sort]; last != nil && order != key.NewestFirst {
		f.after = last.Place(order)
	} else if last != nil {
		f.before = last.ID
	}
	return f
}

// placeText is a place as it stands in an address: the id, and what the order goes by.
func placeText(order key.Order, p key.Place) string {
	id := strconv.FormatInt(p.ID, 10)
	switch order {
	case key.ByName:
		return id + "." + p.Name
	case key.ByExpiry, key.ByLastUse:
		return id + "." + strconv.FormatInt(p.Rank, 10)
	default:
		return id
	}
}

// readPlace reads what placeText has written. Anything else is the first page.
func readPlace(order key.Order, text string) key.Place {
	id, by, _ := strings.Cut(text, ".")
	var p key.Place
	var err error
	if p.ID, err = strconv.ParseInt(id, 10, 64); err != nil {
		return key.Place{}
	}
	switch order {
	case key.ByName:
		p.Name = by
	case key.ByExpiry, key.ByLastUse:
		if p.Rank, err = strconv.ParseInt(by, 10, 64); err != nil {
			return key.Place{}
		}
	}
	return p
}

// address returns where the filter is in force.
func (f keyFilter) address() string {
	q := url.Values{}
	q.Set("organization", ownKeys)
	if f.organization != 0 {
		q.Set("organization", strconv.FormatInt(f.organization, 10))
	}
	for name, value := range map[string]string{"q": f.name, "scope": f.scope, "state": f.state, "sort": f.sort} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.before != 0 {
		q.Set("before", strconv.FormatInt(f.before, 10))
	}
	if f.after != (key.Place{}) {
		q.Set("after", placeText(keyOrders[f.sort], f.after))
	}
	return keysPath + "?" + q.Encode()
}

// fields are those to choose with what is shown.
func (f keyFilter) fields(v *visit) []field {
	organizations, chosen := []option{{"Your own, in all of them", ownKeys}}, ownKeys
	if f.organization != 0 {
		chosen = strconv.FormatInt(f.organization, 10)
	}
	listed := f.organization == 0
	for _, m := range v.me.Memberships {
		organizations = append(organizations, option{m.OrganizationName, strconv.FormatInt(m.OrganizationID, 10)})
		listed = listed || m.OrganizationID == f.organization
	}
	if !listed {
		organizations = append(organizations, option{v.looked.name, chosen})
	}
	scopes := []option{{"Any", ""}}
	for _, name := range key.AllScopes.Names() {
		scopes = append(scopes, option{name, name})
	}
	return []field{
		{Name: "q", Label: "Search by name", Type: "search", Value: f.name, Class: "search"},
		{Name: "organization", Label: "Organization", Type: "select", Value: chosen, Options: organizations},
		{Name: "scope", Label: "Scope", Type: "select", Value: f.scope, Options: scopes},
		{Name: "state", Label: "State", Type: "select", Value: f.state, Options: []option{{"Any", ""}, {"Active", "active"}, {"Disabled", "disabled"}, {"Expired", "expired"}}},
		{Name: "sort", Label: "Order", Type: "select", Value: f.sort, Options: []option{{"Newest first", ""}, {"Oldest first", "oldest"},
			{"Name", "name"}, {"Last used", "used"}, {"Next to expire", "expires"}}},
	}
}

// keyRows returns keys as the list shows them.
func (c *Console) keyRows(v *visit, keys []key.Key, organization int64) ([]keyRow, error) {
	names := map[int64]string{}
	for _, m := range v.me.Memberships {
		names[m.OrganizationID] = m.OrganizationName
	}
	owners, now := map[int64]string{}, c.Now()
	rows := make([]keyRow, len(keys))
	for i, k := range keys {
		if _, ok := owners[k.UserID]; !ok {
			owner, err := c.emailOf(v, organization, k.UserID)
			if err != nil {
				return nil, err
			}
			owners[k.UserID] = owner
		}
		name := names[k.OrganizationID]
		if name == "" {
			name = "organization " + strconv.FormatInt(k.OrganizationID, 10)
		}
		rows[i] = keyRow{k, stateOf(&k, now), keyURL(k.ID), name, owners[k.UserID]}
	}
	return rows, nil
}

// emailOf returns what a user of an organization is known by.
func (c *Console) emailOf(v *visit, organization, user int64) (string, error) {
	if user == v.me.User.ID {
		return v.me.User.Email, nil
	}
	if organization != 0 {
		// The member with this id, if there is one. To ask for that one alone would be in the audit log where there is none.
		found, _, err := c.Admin.Members(v.r.Context(), v.caller, admin.MemberList{OrganizationID: organization, Before: user + 1, Limit: 1})
		if err != nil {
			return "", err
		}
		if len(found) == 1 && found[0].UserID == user {
			return found[0].Email, nil
		}
	}
	return userName(user), nil
}

// userName is what a user is called whose e-mail address is not the reader's to see.
func userName(id int64) string { return "user " + strconv.FormatInt(id, 10) }

// keyURL returns the address of a key's page.
func keyURL(id int64) string { return keysPath + "/" + strconv.FormatInt(id, 10) }

// newKeyOf returns the address of the page to create a key in an organization.
func newKeyOf(organization int64) string {
	if organization == 0 {
		return newKeyPath
	}
	return newKeyPath + "?organization=" + strconv.FormatInt(organization, 10)
}

// mayCreate reports whether the reader can create keys in an organization; the zero one stands for any.
func (v *visit) mayCreate(o organization) bool {
	if o.id == 0 {
		return v.me.User.InstanceAdmin || len(v.me.Memberships) > 0
	}
	return v.me.User.InstanceAdmin || o.role != 0
}

// exampleCall is a command line that uses a key.
func (c *Console) exampleCall() string {
	return `curl -H "Authorization: Bearer $APIKEYD_KEY" ` + c.ManagementURL() + `/v1/me`
}
