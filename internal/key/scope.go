package key

import (
	"math/bits"
	"strings"
)

// Scope is one of the five things a key may do. The zero Scope is none of them.
type Scope uint8

// The five scopes. Their values are bits, so that a set of them fits in a byte; the values are stored and must
// not change.
const (
	Read   Scope = 1 << iota // GET, HEAD, OPTIONS
	Create                   // POST
	Update                   // PUT, PATCH
	Delete                   // DELETE
	Manage                   // manage accounts: organizations and their members
)

// scopeNames holds the names in the order in which scopes are always given.
var scopeNames = [...]string{"READ", "CREATE", "UPDATE", "DELETE", "MANAGE"}

// ScopeList is the five names as a sentence wants them.
const ScopeList = "READ, CREATE, UPDATE, DELETE, MANAGE"

// ParseScope returns the scope called name. Names are upper case.
func ParseScope(name string) (Scope, bool) {
	for i, n := range scopeNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// String returns the scope's name, and "" for what is no single scope.
func (s Scope) String() string {
	if bits.OnesCount8(uint8(s)) != 1 || Scopes(s)&^AllScopes != 0 {
		return ""
	}
	return scopeNames[bits.TrailingZeros8(uint8(s))]
}

// Scopes is a set of scopes. The zero Scopes is the empty set.
type Scopes uint8

// AllScopes is the set of all five.
const AllScopes = Scopes(Read | Create | Update | Delete | Manage)

// ScopesOf returns the set of the given scopes.
func ScopesOf(scopes ...Scope) Scopes {
	var set Scopes
	for _, s := range scopes {
		set |= Scopes(s)
	}
	return set
}

// Has reports whether s is in the set.
func (set Scopes) Has(s Scope) bool { return set&Scopes(s) != 0 }

// Without returns the scopes of the set that are not in other.
func (set Scopes) Without(other Scopes) Scopes { return set &^ other }

// Names returns the names of the set in their fixed order.
func (set Scopes) Names() []string {
	names := make([]string, 0, len(scopeNames))
	for i, n := range scopeNames {
		if set.Has(1 << i) {
			names = append(names, n)
		}
	}
	return names
}

// String returns the names, separated by ", ".
func (set Scopes) String() string { return strings.Join(set.Names(), ", ") }
