package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
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
	b.WriteString(rulesReference)
	return b.String()
}

const rulesReference = `
## Rules

Beside the settings, the file may hold rules for an API behind apikeyd, each a table ` + "`[[rules]]`" + `. They come after all settings, because
that is how TOML is. SIGHUP has them read again, and nothing else. [rules.md](rules.md) says what they mean.

- ` + "`path`" + `: which paths the rule is about, ` + "`\"/accounts/*/invoices/**\"`" + `
- ` + "`methods`" + `: which methods, a list of strings; left out: every one
- ` + "`scope`" + `: what such requests need, one of ` + key.ScopeList + `, ` + "`\"public\"`" + ` or ` + "`\"method\"`" + `
`

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
	b.WriteString(rulesExample)
	return b.String()
}

// rulesExample ends the sample file: what follows a table in TOML belongs to it.
const rulesExample = `

# ---- Rules for an API behind apikeyd ----

# What requests to the API need, where the method does not say it. The first rule that matches decides. path:
# * is one segment, ** at the end is any number of them. methods: left out, every one. scope: one of READ, CREATE,
# UPDATE, DELETE, MANAGE; "public": no key; "method": what the method says. Rules stand below all settings, and
# SIGHUP has them read again. "apikeyd rules test GET /accounts/7 --config FILE" says which one decides.
# Default: none. Examples:
#[[rules]]
#path = "/health"
#methods = ["GET"]
#scope = "public"

#[[rules]]
#path = "/accounts/**"
#scope = "MANAGE"
`

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
