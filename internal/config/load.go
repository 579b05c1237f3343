package config

import (
	"errors"
	"strings"
)

// loader gathers the settings from one source after the other, the weakest first.
type loader struct {
	src      Source
	config   *Config
	places   map[string]string // where the value of a setting came from; absent: the default
	bad      map[string]bool   // settings that some source gave a bad value
	blind    bool              // the file could not be read, so any setting may lack its value
	problems []Problem
	warnings []Problem
}

func newLoader(src Source) *loader {
	return &loader{src: src, config: Default(src.Terminal), places: map[string]string{}, bad: map[string]bool{}}
}

// wanted reports whether the command at hand reads this setting.
func (l *loader) wanted(s *setting) bool {
	return l.src.Flags == nil || l.flag(s) != nil
}

// getenv returns the value of a setting's environment variable, and false where there is none or an empty one.
func (l *loader) getenv(s *setting) (value string, ok bool) {
	if l.src.LookupEnv == nil {
		return "", false
	}
	value, _ = l.src.LookupEnv(s.env())
	return value, value != ""
}

// set gives a setting the value text that stands at place.
func (l *loader) set(s *setting, text, place string) {
	if !l.wanted(s) {
		return
	}
	if err := s.parse(l.config, text); err != nil {
		l.refuse(s, place, err.Error())
		return
	}
	l.places[s.name] = place
}

// refuse records that a setting has a bad value at place.
func (l *loader) refuse(s *setting, place, reason string) {
	l.bad[s.name] = true
	l.problem(place, reason)
}

func (l *loader) problem(place, reason string) {
	l.problems = append(l.problems, Problem{Place: place, Reason: reason})
}

// place returns where the value of a setting came from; a default is blamed on the flag that would change it.
func (l *loader) place(name string) string {
	if p, ok := l.places[name]; ok {
		return p
	}
	return "--" + name
}

// given reports whether a setting has a value other than its default's, or should have had one.
func (l *loader) given(name string) bool {
	_, ok := l.places[name]
	return ok || l.bad[name]
}

// good reports whether these settings have the values that the operator meant, so that it makes sense to hold them
// against each other.
func (l *loader) good(names ...string) bool {
	for _, name := range names {
		if l.bad[name] {
			return false
		}
	}
	return !l.blind
}

// readEnvironment reads the variables.
func (l *loader) readEnvironment() {
	for i := range settings {
		s := &settings[i]
		if s.name == configFlag {
			continue // read with the file
		}
		if value, ok := l.getenv(s); ok {
			l.set(s, value, envPlace(s.env()))
		}
	}
	l.warnings = append(l.warnings, unknownVariables(l.src.Environ)...)
}

// readFlags reads the flags that were given.
func (l *loader) readFlags() {
	for i := range settings {
		s := &settings[i]
		if f := l.flag(s); f != nil && f.given && s.name != configFlag {
			l.set(s, f.text, "--"+s.name)
		}
	}
}

func envPlace(name string) string { return "environment " + name }

// joined puts errors on one line.
func joined(errs []error) error {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}
