package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

// limits is a list of limits; a flag that is given again adds to it.
type limits []api.Limit

// Set reads a limit such as hour=1000/3600.
func (v *limits) Set(s string) error {
	fault := errors.New("must be NAME=REQUESTS/SECONDS, such as hour=1000/3600")
	name, rest, _ := strings.Cut(s, "=")
	requests, window, _ := strings.Cut(rest, "/")
	n, err := parseID(requests)
	if err != nil || name == "" {
		return fault
	}
	seconds, err := parseID(window)
	if err != nil {
		return fault
	}
	*v = append(*v, api.Limit{Name: name, Requests: n, WindowSeconds: seconds})
	return nil
}
func (v *limits) String() string { return joinLimits(*v) }
func (v *limits) Type() string   { return "LIMIT" }

func joinLimits(list []api.Limit) string {
	texts := make([]string, len(list))
	for i, l := range list {
		texts[i] = fmt.Sprintf("%s=%d/%d", l.Name, l.Requests, l.WindowSeconds)
	}
	return strings.Join(texts, ", ")
}

// quota is a quota; nil is none.
type quota struct{ *api.NewQuota }

// Set reads a quota such as 1000000/month.
func (v *quota) Set(s string) error {
	requests, name, periodic := strings.Cut(s, "/")
	n, err := parseID(requests)
	period := api.Period(name)
	if err != nil || periodic && period != api.PeriodDay && period != api.PeriodMonth {
		return errors.New("must be a number of requests, alone or with /day or /month, such as 1000000/month")
	}
	v.NewQuota = &api.NewQuota{Requests: n}
	if periodic {
		v.Period = &period
	}
	return nil
}
func (v *quota) String() string {
	switch {
	case v.NewQuota == nil:
		return ""
	case v.Period == nil:
		return strconv.FormatInt(v.Requests, 10)
	default:
		return fmt.Sprintf("%d/%s", v.Requests, *v.Period)
	}
}
func (v *quota) Type() string { return "QUOTA" }

// blocks is a list of blocks of addresses; a flag that is given again adds to it.
type blocks []string

// Set adds a block. What is one, the server knows.
func (v *blocks) Set(s string) error {
	if s == "" || strings.ContainsAny(s, ", ") {
		return errors.New("must be one block of addresses, such as 203.0.113.0/24; repeat the flag for more")
	}
	*v = append(*v, s)
	return nil
}
func (v *blocks) String() string { return strings.Join(*v, ", ") }
func (v *blocks) Type() string   { return "CIDR" }

// restrictions is the flags that say what a key is held to beside its scopes.
type restrictions struct {
	limits limits
	quota  quota
	allow  blocks

	noLimits, noQuota, allowAny bool // for a key that has some
}

func (r *restrictions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(&r.limits, "limit", "a limit, as NAME=REQUESTS/SECONDS, such as hour=1000/3600; repeat it for more")
	f.Var(&r.quota, "quota", "how many requests there are in all, as N, or as N/day or N/month")
	f.Var(&r.allow, "allow", "addresses it may be used from, such as 203.0.113.0/24; repeat it for more (default: any)")
}

// addClearing adds the flags that take restrictions away.
func (r *restrictions) addClearing(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&r.noLimits, "no-limits", false, "take all limits away")
	f.BoolVar(&r.noQuota, "no-quota", false, "take the quota away")
	f.BoolVar(&r.allowAny, "allow-any", false, "let it be used from any address")
}

// patch puts what the flags say into a change.
func (r *restrictions) patch(cmd *cobra.Command, p *api.KeyPatch) error {
	for _, pair := range [][]string{{"limit", "no-limits"}, {"quota", "no-quota"}, {"allow", "allow-any"}} {
		if err := exclusive(cmd, pair...); err != nil {
			return err
		}
	}
	p.Limits, p.AllowedCIDRs = r.limits, r.allow
	if r.noLimits {
		p.Limits = []api.Limit{}
	}
	if r.allowAny {
		p.AllowedCIDRs = []string{}
	}
	switch {
	case r.noQuota:
		p.Quota = api.Null[api.QuotaPatch]()
	case r.quota.NewQuota != nil:
		period := api.Null[api.Period]()
		if r.quota.Period != nil {
			period = api.Value(*r.quota.Period)
		}
		p.Quota = api.Value(api.QuotaPatch{Requests: r.quota.Requests, Period: period})
	}
	return nil
}

// addRestrictions adds lines that say what a key is held to.
func (f *fields) addRestrictions(k api.Key) {
	f.add("Limits", textOr("none", joinLimits(k.Limits)))
	f.add("Quota", textOr("none", quotaText(k.Quota)))
	f.add("Used from", textOr("any address", strings.Join(k.AllowedCIDRs, ", ")))
}

func textOr(none, text string) string {
	if text == "" {
		return none
	}
	return text
}

func quotaText(q *api.Quota) string {
	switch {
	case q == nil:
		return ""
	case q.Period == nil:
		return fmt.Sprintf("%d of %d left", q.Remaining, q.Requests)
	default:
		return fmt.Sprintf("%d of %d left of this %s", q.Remaining, q.Requests, *q.Period)
	}
}

// rateLimitText says what is left of a limit.
func rateLimitText(l *api.RateLimit) string {
	left := fmt.Sprintf("%d of %d requests", l.Remaining, l.Limit)
	if l.ResetSeconds == nil {
		return left
	}
	return fmt.Sprintf("%s, all of them in %d s", left, *l.ResetSeconds)
}

// listedState is the state of a key as a list has it, where a key that is good may be so within restrictions.
func listedState(k api.Key, now time.Time) string {
	s := state(k, now)
	if s == string(api.StateActive) && (len(k.Limits) > 0 || k.Quota != nil || len(k.AllowedCIDRs) > 0) {
		return "restricted"
	}
	return s
}
