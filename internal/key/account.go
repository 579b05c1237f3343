package key

import (
	"bytes"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// User is a person who may sign in and hold keys.
type User struct {
	ID            int64
	Email         string
	InstanceAdmin bool      // acts on every organization
	SignedInAt    time.Time // the last time; zero: never
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// maxEmailLength is that of RFC 5321, section 4.5.3.1.3, without the angle brackets.
const maxEmailLength = 254

// CheckEmail says what is wrong with an e-mail address, "" where nothing is. White space around it is to be trimmed
// before.
func CheckEmail(email string) string {
	// ParseAddress alone would take "Name <user@host>".
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || len(email) > maxEmailLength || strings.ContainsFunc(email, unicode.IsControl) {
		return "must be an e-mail address, like you@example.com"
	}
	return ""
}

// Organization is an account: what a key belongs to.
type Organization struct {
	ID         int64
	Name       string
	ExternalID string // the id that the operator's own system knows it by; "": none
	Metadata   []byte // a JSON object; nil is {}
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// MaxExternalIDLength bounds an external id, in characters.
const MaxExternalIDLength = 255

// OrganizationDraft is an organization as somebody wants it, before anything about it was checked.
type OrganizationDraft struct {
	Name       string
	ExternalID string // "": none
	Metadata   []byte // a JSON object as sent; nil is {}
}

// Check returns everything that is wrong with the draft, and the draft in the form in which it is kept.
func (d OrganizationDraft) Check() (OrganizationDraft, []Fault) {
	p := OrganizationPatch{Name: &d.Name}
	if d.ExternalID != "" {
		p.ExternalID = &d.ExternalID
	}
	o, faults := p.Apply(Organization{}, time.Time{})
	d.Name, d.ExternalID = o.Name, o.ExternalID
	d.Metadata, faults = checkMetadata(d.Metadata, faults)
	return d, faults
}

// OrganizationPatch is a change to an organization, as somebody wants it. A nil field stays as it is.
type OrganizationPatch struct {
	Name       *string
	ExternalID *string // "" clears it
	Metadata   []byte  // a JSON merge patch (RFC 7396); nil: no change; null: clears all
}

// Check returns everything that is wrong with the patch whatever organization it is applied to.
func (p OrganizationPatch) Check() []Fault {
	_, faults := p.Apply(Organization{}, time.Time{})
	return faults
}

// Apply returns o changed as the patch wants it, or everything that is wrong with the patch.
func (p OrganizationPatch) Apply(o Organization, now time.Time) (Organization, []Fault) {
	var faults []Fault
	if p.Name != nil {
		o.Name = strings.TrimFunc(*p.Name, unicode.IsSpace)
		if detail := CheckName(o.Name); detail != "" {
			faults = append(faults, Fault{"/organization_name", detail})
		}
	}
	if p.ExternalID != nil {
		o.ExternalID = *p.ExternalID
		if detail := checkExternalID(o.ExternalID); detail != "" {
			faults = append(faults, Fault{"/external_id", detail})
		}
	}
	if p.Metadata != nil {
		o.Metadata, faults = patchMetadata(o.Metadata, p.Metadata, faults)
	}
	o.UpdatedAt = now
	return o, faults
}

// checkExternalID says what is wrong with an id of somebody else's system. It is taken as it is: nothing is trimmed, and
// its case counts.
func checkExternalID(id string) string {
	if utf8.RuneCountInString(id) > MaxExternalIDLength {
		return "must be at most 255 characters long"
	}
	if strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "must hold printable characters only"
	}
	return ""
}

// Same reports whether two organizations are alike in everything that a patch can change.
func (o *Organization) Same(other *Organization) bool {
	return o.Name == other.Name && o.ExternalID == other.ExternalID && bytes.Equal(o.Metadata, other.Metadata)
}

// Membership is a user's place in an organization.
type Membership struct {
	OrganizationID   int64
	OrganizationName string // where the memberships of a user are listed
	UserID           int64
	Email            string // where the members of an organization are listed
	Role             Role
	CreatedAt        time.Time
}

// Account is an organization as a user sees it.
type Account struct {
	Organization
	Role Role // zero: the user is no member
}

// Standing is what a user is to one organization, read at one moment: all that an authorization depends on beside
// the calling key.
type Standing struct {
	InstanceAdmin      bool
	OrganizationExists bool
	Role               Role // zero: no member
}

// Identity is a user, one of their keys, and what they are to one organization, read at one moment.
type Identity struct {
	User     User
	Key      *Record // nil where none was asked for or there is none
	Standing Standing
}
