package config

import (
	"github.com/spf13/pflag"
)

// AddFlags gives a command the flags of the named settings, or of all of them where none is named. Name "config" too
// where the command is to read the file. It panics on a name that no setting has.
//
// A flag takes any text; Load reads it later, so that everything that is wrong can be said at once.
func AddFlags(fs *pflag.FlagSet, names ...string) {
	if len(names) == 0 {
		for i := range settings {
			addFlag(fs, &settings[i])
		}
		return
	}
	for _, name := range names {
		s := lookup(name)
		if s == nil {
			panic("config: no setting is called " + name)
		}
		addFlag(fs, s)
	}
}

func addFlag(fs *pflag.FlagSet, s *setting) {
	f := &pflag.Flag{Name: s.name, Usage: s.help, DefValue: s.described(), Value: &flagValue{text: s.preset, setting: s}}
	if s.kind == boolean {
		f.NoOptDefVal = "true" // --verify-insecure alone
	}
	fs.AddFlag(f)
}

// flagValue is a flag's value before anybody has looked at it.
type flagValue struct {
	text    string
	given   bool
	setting *setting
}

// Set keeps the text. Of a flag that is given twice the last one counts.
func (f *flagValue) Set(text string) error {
	f.text, f.given = text, true
	return nil
}

func (f *flagValue) String() string { return f.text }

// Type returns what stands for the value in the help. Pflag shows nothing for "bool".
func (f *flagValue) Type() string {
	if f.setting.kind == boolean {
		return "bool"
	}
	return f.setting.placeholder
}

// flag returns the value of a setting's flag, or nil where the command has no such flag.
func (l *loader) flag(s *setting) *flagValue {
	if l.src.Flags == nil {
		return nil
	}
	f := l.src.Flags.Lookup(s.name)
	if f == nil {
		return nil
	}
	value, ok := f.Value.(*flagValue)
	if !ok || value.setting != s {
		return nil // another's flag of the same name
	}
	return value
}

// FlagUsages describes the flags of a command as pflag's FlagUsagesWrapped does, in lines of at most columns
// characters (0: unbounded), but under the headings of the table and in its order. Flags that are not from the table
// come last, under "Other".
func FlagUsages(fs *pflag.FlagSet, columns int) string {
	var out string
	section := func(title string, flags []*pflag.Flag) {
		if len(flags) == 0 {
			return
		}
		sub := pflag.NewFlagSet("", pflag.ContinueOnError)
		sub.SortFlags = false
		for _, f := range flags {
			sub.AddFlag(f)
		}
		if out != "" {
			out += "\n"
		}
		out += title + ":\n" + sub.FlagUsagesWrapped(columns)
	}
	for _, g := range groups() {
		var flags []*pflag.Flag
		for i := range settings {
			if f := fs.Lookup(settings[i].name); settings[i].group == g && f != nil && ours(f) {
				flags = append(flags, f)
			}
		}
		section(string(g), flags)
	}
	var others []*pflag.Flag
	fs.VisitAll(func(f *pflag.Flag) {
		if !ours(f) {
			others = append(others, f)
		}
	})
	section("Other", others)
	return out
}

func ours(f *pflag.Flag) bool {
	_, ok := f.Value.(*flagValue)
	return ok
}

// groups returns the headings in the order of the table.
func groups() []group {
	var all []group
	for i := range settings {
		if g := settings[i].group; len(all) == 0 || all[len(all)-1] != g {
			all = append(all, g)
		}
	}
	return all
}
