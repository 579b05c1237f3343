package config

import (
	"fmt"
	"strconv"
	"strings"
)

const referenceIntro = `A setting is a flag of "apikeyd serve", an environment variable, and a key in the TOML file that --config names: the
flag's name without the dashes in front. (--config itself is no key of the file.) Flags win over the environment, that
over the file, that over the default. A variable that is set but empty counts as not set.

A size is a whole number with KiB, MiB or GiB right behind it, or a number of bytes. A duration is a number with ms, s,
m or h right behind it. Paths are relative to the folder that the server is started in.
`

// Reference returns the reference page of the settings in Markdown: one table for each heading.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceIntro)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s\n\n| flag | environment | default | what it is for |\n|---|---|---|---|\n", g)
		for i := range settings {
			s := &settings[i]
			if s.group != g {
				continue
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", strings.TrimSpace("--"+s.name+" "+cell(s.placeholder)), s.env(),
				s.markdownDefault(), cell(s.heading()))
		}
	}
	return b.String()
}

func (s *setting) markdownDefault() string {
	switch {
	case s.presetText != "":
		return cell(s.presetText)
	case s.preset != "":
		return "`" + cell(s.preset) + "`"
	default:
		return "none"
	}
}

// cell escapes what would end a cell of a Markdown table, even inside code.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// Example returns a sample configuration file. Every setting in it is commented out, with its default or a likely
// value; a line that begins with # and a letter becomes a setting when the # is taken away.
func Example() string {
	var b strings.Builder
	b.WriteString("# Settings of apikeyd, for apikeyd serve --config FILE.\n" +
		"# Each is shown with its default, or with an example where it has none. Take the # away to set it.\n" +
		"# An environment variable wins over this file, and a flag over both.\n")
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n\n# ---- %s ----\n", g)
		for i := range settings {
			s := &settings[i]
			if s.group != g || s.noFile {
				continue
			}
			b.WriteString("\n")
			comment(&b, s.heading())
			value, what := s.preset, "Default"
			if value == "" {
				value, what = s.sample, "Default: none. Example"
				if s.presetText != "" {
					what = "Default: " + s.presetText + ". Example"
				}
			}
			if s.kind != boolean {
				value = strconv.Quote(value)
			}
			fmt.Fprintf(&b, "# %s:\n#%s = %s\n", what, s.name, value)
		}
	}
	return b.String()
}

// comment writes text as a comment of lines of at most 100 characters.
func comment(b *strings.Builder, text string) {
	const width = 100
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
