package apidoc

import (
	"html/template"
	"strings"
)

// prose turns a description into HTML, paragraph by paragraph. Of CommonMark it knows what the descriptions use:
// paragraphs, `code` and **strong**.
func prose(markdown string) []template.HTML {
	if markdown == "" {
		return nil
	}
	var paragraphs []template.HTML
	for text := range strings.SplitSeq(markdown, "\n\n") {
		paragraphs = append(paragraphs, inline(text))
	}
	return paragraphs
}

// inline turns the text of one paragraph into HTML.
func inline(markdown string) template.HTML {
	var b strings.Builder
	for i, text := range strings.Split(markdown, "`") {
		if i%2 == 1 { // between two backticks
			b.WriteString("<code>" + template.HTMLEscapeString(text) + "</code>")
			continue
		}
		for j, text := range strings.Split(text, "**") {
			if j%2 == 1 {
				b.WriteString("<strong>" + template.HTMLEscapeString(text) + "</strong>")
			} else {
				b.WriteString(template.HTMLEscapeString(text))
			}
		}
	}
	return template.HTML(b.String())
}
