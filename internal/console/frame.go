package console

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/browser"
)

// frame is what a page says beside what is around every page.
type frame struct {
	Title        string
	Section      section
	Organization int64  // whose page it is; 0: that of no organization alone
	Note         string // what has just been done
	Narrow       bool   // a page with little on it
	Main         any    // what the page is about
}

// section is a part of the console, with a link in the navigation.
type section string

const (
	sectionNone          section = ""
	sectionKeys          section = "Keys"
	sectionUsage         section = "Usage"
	sectionMembers       section = "Members"
	sectionAudit         section = "Audit log"
	sectionSettings      section = "Settings"
	sectionOrganizations section = "Organizations"
	sectionNodes         section = "Nodes"
	sectionAccount       section = "Account"
)

// patterns say where sections are.
var patterns = map[section]string{
	sectionUsage:         usagePattern,
	sectionMembers:       membersPattern,
	sectionAudit:         auditPattern,
	sectionSettings:      organizationPattern,
	sectionOrganizations: organizationsPath,
	sectionNodes:         nodesPath,
}

// path returns where a section begins for an organization.
func (s section) path(organization int64) string {
	pattern, ok := patterns[s]
	if !ok {
		return keysOf(organization)
	}
	return strings.Replace(pattern, "{organization_id}", strconv.FormatInt(organization, 10), 1)
}

// ofOrganization reports whether the section shows one organization at a time.
func (s section) ofOrganization() bool {
	return s == sectionKeys || s == sectionUsage || s == sectionMembers || s == sectionAudit || s == sectionSettings
}

// layout is what the template of the frame is given.
type layout struct {
	frame
	Style, Icon, Script string // addresses
	Theme               string // "": that of the system
	Themes              []themeChoice
	Here                string // where to come back to
	User                string // e-mail address of who has signed in; "": nobody, or it does not matter
	UserID              int64
	InAccount           bool
	Sections            []link
	Switch              *organizationSwitch // nil: there is nothing to choose from
}

// link is one of several, of which one may be where the reader is.
type link struct {
	Name, URL string
	Current   bool
}

// organizationSwitch goes from one organization to another, and stays in the section.
type organizationSwitch struct {
	Chosen        string
	Organizations []organizationLink
	All           string // address of a page with all of them; "": there is none
}

type organizationLink struct {
	link
	Role string
}

// themeChoice is one of the ways in which pages can look.
type themeChoice struct {
	Name, Value string
	Current     bool
}

// themes are what can be chosen, beside what the system does.
var themes = []string{"light", "dark"}

// themeOf returns what a browser has chosen, "" for nothing.
func themeOf(r *http.Request) string {
	chosen := browser.Preferred(r, browser.Theme)
	for _, known := range themes {
		if chosen == known {
			return known
		}
	}
	return ""
}

// layout puts the frame around a page.
func (c *Console) layout(v *visit, f frame) layout {
	l := layout{frame: f, Style: c.style.Address(), Icon: c.icon.Address(), Script: c.script.Address(), Theme: themeOf(v.r), Here: here(v.r)}
	for _, value := range append([]string{""}, themes...) {
		l.Themes = append(l.Themes, themeChoice{Name: themeNames[value], Value: value, Current: value == l.Theme})
	}
	if v.me == nil {
		return l
	}
	l.UserID = v.me.User.ID
	l.User, l.InAccount = v.me.User.Email, f.Section == sectionAccount
	chosen := v.chosen(f.Organization)
	shown := []section{sectionKeys}
	if chosen.id != 0 {
		shown = append(shown, sectionUsage, sectionMembers)
		if chosen.manages {
			shown = append(shown, sectionAudit)
		}
		shown = append(shown, sectionSettings)
	}
	if v.me.User.InstanceAdmin {
		shown = append(shown, sectionOrganizations, sectionNodes)
	}
	for _, s := range shown {
		l.Sections = append(l.Sections, link{string(s), s.path(chosen.id), s == f.Section})
	}
	l.Switch = switchTo(v, f, chosen)
	if l.Switch != nil {
		l.Switch.All = organizationsPath
	}
	return l
}

var themeNames = map[string]string{"": "System", "light": "Light", "dark": "Dark"}

// switchTo returns the switch between organizations.
func switchTo(v *visit, f frame, chosen organization) *organizationSwitch {
	if chosen.id == 0 {
		return nil
	}
	s := &organizationSwitch{Chosen: chosen.name}
	in := f.Section
	if !in.ofOrganization() {
		in = sectionKeys
	}
	listed := false
	for _, m := range v.me.Memberships {
		current := m.OrganizationID == chosen.id
		listed = listed || current
		to := in
		if in == sectionAudit && !memberOf(v.me, m).manages {
			to = sectionKeys
		}
		s.Organizations = append(s.Organizations, organizationLink{link{m.OrganizationName, to.path(m.OrganizationID), current}, m.Role.String()})
	}
	if !listed {
		s.Organizations = append(s.Organizations, organizationLink{link: link{chosen.name, in.path(chosen.id), true}})
	}
	return s
}

// here returns the address of a page, as far as somebody may be sent back to it.
func here(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/"
	}
	u := *r.URL
	if q := u.Query(); q.Has(noteParameter) { // what has been done is said once
		q.Del(noteParameter)
		u.RawQuery = q.Encode()
	}
	return local(u.RequestURI())
}

// local returns a path within the console, or "/" for what is none: nobody is sent to another host, and nobody to a one-time
// link.
func local(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.HasPrefix(path, SignInPath) ||
		strings.ContainsAny(path, "\\\t\r\n\x00") {
		return "/"
	}
	return path
}

// setAppearance keeps how pages are to look.
func (c *Console) setAppearance(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	chosen := ""
	for _, known := range themes {
		if v.typed("theme") == known {
			chosen = known
		}
	}
	v.set(browser.Prefer(browser.Theme, chosen))
	v.goTo(local(v.typed("to")), "")
	return nil
}
