package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

// The values of flags. Each is a pflag.Value: Set reads it and says what would be right, String gives the default for
// the help, and Type what the help calls it.

// text is any text; it exists for the name that the help gives it.
type text struct {
	kind  string
	value string
}

func (v *text) Set(s string) error {
	if !utf8.ValidString(s) { // JSON would make another text of it
		return errors.New("must be valid UTF-8")
	}
	v.value = s
	return nil
}
func (v *text) String() string { return v.value }
func (v *text) Type() string   { return v.kind }

func addText(cmd *cobra.Command, name, kind, value, usage string) *string {
	v := &text{kind, value}
	cmd.Flags().Var(v, name, usage)
	return &v.value
}

// scopes is a list of scopes, separated by commas; a flag that is given again adds to it.
type scopes []api.Scope

var allScopes = []api.Scope{api.ScopeRead, api.ScopeCreate, api.ScopeUpdate, api.ScopeDelete, api.ScopeManage}

func (v *scopes) Set(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		scope := api.Scope(strings.ToUpper(strings.TrimSpace(name)))
		if !slices.Contains(allScopes, scope) {
			return errors.New("must be one or several of " + joinScopes(allScopes, ", "))
		}
		*v = append(*v, scope)
	}
	return nil
}
func (v *scopes) String() string { return joinScopes(*v, ",") }
func (v *scopes) Type() string   { return "SCOPES" }

// oneScope is a single scope.
type oneScope api.Scope

func (v *oneScope) Set(s string) error {
	var list scopes
	if err := list.Set(s); err != nil || len(list) != 1 {
		return errors.New("must be one of " + joinScopes(allScopes, ", "))
	}
	*v = oneScope(list[0])
	return nil
}
func (v *oneScope) String() string { return string(*v) }
func (v *oneScope) Type() string   { return "SCOPE" }

func joinScopes(list []api.Scope, separator string) string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = string(s)
	}
	return strings.Join(names, separator)
}

func completeScopes(cmd *cobra.Command) {
	names := make([]cobra.Completion, len(allScopes))
	for i, s := range allScopes {
		names[i] = string(s)
	}
	complete(cmd, "scope", names)
}

func complete(cmd *cobra.Command, flag string, values []cobra.Completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that the command does not have, or one that is completed already
	}
}

// id is the id of a thing.
type id int64

func (v *id) Set(s string) error {
	n, err := parseID(s)
	*v = id(n)
	return err
}
func (v *id) String() string {
	if *v == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*v), 10)
}
func (v *id) Type() string { return "ID" }

func parseID(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return 0, errors.New("must be a positive whole number")
	}
	return n, nil
}

// parseIDs reads the arguments of a command as ids, each once. what names one: "KEY_ID".
func parseIDs(what string, args []string) ([]int64, error) {
	var ids []int64
	for _, arg := range args {
		n, err := parseID(arg)
		if err != nil {
			return nil, usagef("%s %q: %w", what, arg, err)
		}
		if !slices.Contains(ids, n) {
			ids = append(ids, n)
		}
	}
	return ids, nil
}

func joinIDs(ids []int64) string {
	texts := make([]string, len(ids))
	for i, n := range ids {
		texts[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(texts, ", ")
}

// moment is a point in time.
type moment struct{ time.Time }

func (v *moment) Set(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return errors.New("must be a time such as 2027-01-31T18:00:00Z (RFC 3339)")
	}
	v.Time = t
	return nil
}
func (v *moment) String() string {
	if v.IsZero() {
		return ""
	}
	return v.Format(time.RFC3339)
}
func (v *moment) Type() string { return "TIME" }

// span is a length of time in whole seconds, longer than none unless it is given as 0.
type span time.Duration

var spanUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// Set reads numbers with units, such as 90d or 1d12h, and 0.
func (v *span) Set(s string) error {
	fault := errors.New("must be whole numbers with the units w, d, h, m or s, such as 90d or 1d12h")
	if s == "0" {
		*v = 0
		return nil
	}
	if s == "" {
		return fault
	}
	var total time.Duration
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if end <= 0 {
			return fault
		}
		n, err := strconv.ParseInt(s[:end], 10, 64)
		unit, known := spanUnits[s[end]]
		if !known || err != nil && !errors.Is(err, strconv.ErrRange) {
			return fault
		}
		if err != nil || n > int64((math.MaxInt64-total)/unit) {
			return errors.New("must be shorter than 292 years")
		}
		total += time.Duration(n) * unit
		s = s[end+1:]
	}
	*v = span(total)
	return nil
}
func (v *span) String() string {
	if *v == 0 {
		return ""
	}
	return time.Duration(*v).String()
}
func (v *span) Type() string { return "DURATION" }

// object is a JSON object.
type object json.RawMessage

func (v *object) Set(s string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &members); err != nil || members == nil {
		return errors.New(`must be a JSON object, such as '{"team": "billing"}'`)
	}
	*v = object(s)
	return nil
}
func (v *object) String() string { return string(*v) }
func (v *object) Type() string   { return "JSON" }

// choice is one of a few words.
type choice struct {
	kind    string
	value   string
	allowed []string
}

func (v *choice) Set(s string) error {
	if !slices.Contains(v.allowed, s) {
		return fmt.Errorf("must be %s", sentence(v.allowed, "or"))
	}
	v.value = s
	return nil
}
func (v *choice) String() string { return v.value }
func (v *choice) Type() string   { return v.kind }

// addChoice adds a flag that is one of the allowed words, and "" until it is given.
func addChoice[T ~string](cmd *cobra.Command, name, kind, usage string, allowed ...T) *choice {
	v := &choice{kind: kind, allowed: choiceWords(allowed)}
	cmd.Flags().Var(v, name, usage)
	complete(cmd, name, v.allowed)
	return v
}

func choiceWords[T ~string](allowed []T) []string {
	words := make([]string, len(allowed))
	for i, word := range allowed {
		words[i] = string(word)
	}
	return words
}

// The formats of a result.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatToken = "token" // the token and nothing else
)

// addOutput adds -o; the first of the allowed formats is the default.
func addOutput(cmd *cobra.Command, allowed ...string) *choice {
	v := &choice{"FORMAT", allowed[0], allowed}
	cmd.Flags().VarP(v, "output", "o", "print "+sentence(allowed, "or"))
	complete(cmd, "output", allowed)
	return v
}
