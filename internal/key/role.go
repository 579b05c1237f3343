package key

// Role is what a member may do in an organization. The zero Role is that of someone who is no member.
type Role uint8

// The roles, weakest first. Their values are stored and must not change.
const (
	Viewer Role = iota + 1
	Member
	Admin
	Owner
)

var roleNames = [...]string{Viewer: "viewer", Member: "member", Admin: "admin", Owner: "owner"}

// RoleList is the four names as a sentence wants them.
const RoleList = "viewer, member, admin, owner"

// ParseRole returns the role called name.
func ParseRole(name string) (Role, bool) {
	for i, n := range roleNames {
		if n == name && n != "" {
			return Role(i), true
		}
	}
	return 0, false
}

// String returns the role's name, and "" for the zero Role.
func (r Role) String() string {
	if int(r) >= len(roleNames) {
		return ""
	}
	return roleNames[r]
}

// MayHold returns the scopes that keys of a member with this role may have.
func (r Role) MayHold() Scopes {
	switch r {
	case Viewer:
		return ScopesOf(Read)
	case Member:
		return AllScopes.Without(ScopesOf(Manage))
	case Admin, Owner:
		return AllScopes
	default:
		return 0
	}
}

// ManagesKeys reports whether a member with this role sees and manages every key of the organization, other
// members' too.
func (r Role) ManagesKeys() bool { return r >= Admin }
