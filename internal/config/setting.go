package config

import "strings"

// envPrefix begins the name of every environment variable of apikeyd's.
const envPrefix = "APIKEYD_"

// group is a heading in the help and in the reference.
type group string

// kind says what a setting looks like in the file.
type kind uint8

const (
	text     kind = iota // a string
	boolean              // true or false
	byteSize             // a string with a unit, or an integer
)

// setting is one row of the table.
type setting struct {
	name        string // of the flag without its dashes, and of the key in the file
	group       group
	kind        kind
	placeholder string // what stands for the value in the help: "FILE"; "" for a boolean
	preset      string // the default, as it would be written
	presetText  string // the default in words, where preset does not say it
	sample      string // a value for the sample file, where there is no default
	help        string // what it is for: one or two sentences without a full stop at the end
	noFile      bool   // cannot stand in the file

	// parse reads text into its field of c, and leaves c alone where it returns an error. It does no I/O.
	parse func(c *Config, text string) error
}

// env returns the name of the setting's environment variable.
func (s *setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// described returns the default for people to read; "" is none.
func (s *setting) described() string {
	if s.presetText != "" {
		return s.presetText
	}
	return s.preset
}

// heading returns the setting's sentence with a capital letter and a full stop.
func (s *setting) heading() string { return strings.ToUpper(s.help[:1]) + s.help[1:] + "." }

// to makes a setting's parse from the field it fills and the function that reads one value.
func to[T any](field func(*Config) *T, read func(string) (T, error)) func(*Config, string) error {
	return func(c *Config, text string) error {
		value, err := read(text)
		if err != nil {
			return err
		}
		*field(c) = value
		return nil
	}
}

// optional is to for a setting that may be empty, which is its zero value.
func optional[T any](field func(*Config) *T, read func(string) (T, error)) func(*Config, string) error {
	return to(field, func(text string) (T, error) {
		if text == "" {
			var zero T
			return zero, nil
		}
		return read(text)
	})
}

// Setting describes a setting to whoever writes about it.
type Setting struct {
	Flag    string // "--verify-listen"
	Env     string // "APIKEYD_VERIFY_LISTEN"
	Key     string // "verify-listen"; "": cannot stand in the file
	Group   string // the heading it belongs under
	Default string // for people to read; "": none
	Help    string
}

// Settings describes every setting, in the order of the table.
func Settings() []Setting {
	all := make([]Setting, len(settings))
	for i := range settings {
		s := &settings[i]
		all[i] = Setting{Flag: "--" + s.name, Env: s.env(), Key: s.name, Group: string(s.group),
			Default: s.described(), Help: s.help}
		if s.noFile {
			all[i].Key = ""
		}
	}
	return all
}

// lookup returns the setting called name, or nil.
func lookup(name string) *setting {
	for i := range settings {
		if settings[i].name == name {
			return &settings[i]
		}
	}
	return nil
}
