package config

import (
	"regexp"
	"slices"
	"strings"
)

// clientVariables are read by the commands that are clients of a server. A machine may well have them set for
// somebody who works on it while the server runs there.
var clientVariables = []string{"APIKEYD_KEY", "APIKEYD_SERVER", "APIKEYD_VERIFY_SERVER"}

// serviceLink is a variable that Kubernetes sets in every container of a namespace for a service called apikeyd or
// apikeyd-SOMETHING: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceLink = regexp.MustCompile(
	`^APIKEYD_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// unknownVariables returns a warning for each variable that looks like a setting and is none. It is no error: in a
// variable's name there is no telling a typing error from another program's business, and others may set variables
// in our environment. The values are not repeated.
func unknownVariables(environ []string) []Problem {
	var warnings []Problem
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(clientVariables, name) ||
			serviceLink.MatchString(name) {
			continue
		}
		key := strings.TrimPrefix(name, envPrefix)
		if s := nearest(key); s == nil {
			warnings = append(warnings, Problem{envPlace(name), "no setting has this name, so it has no effect"})
		} else if s.env() != name {
			warnings = append(warnings, Problem{envPlace(name),
				"no setting has this name, so it has no effect; did you mean " + s.env() + "?"})
		}
	}
	slices.SortFunc(warnings, func(a, b Problem) int { return strings.Compare(a.Place, b.Place) })
	return warnings
}
