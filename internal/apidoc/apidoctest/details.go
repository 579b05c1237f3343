package apidoctest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/apikeyd/apikeyd/internal/apidoc"
)

const problemType = "application/problem+json"

// told is as much of a problem document as is for people.
type told struct {
	Detail string
	Errors []struct{ Detail string }
}

// details are what the document says, and what it says of each fault.
func (p told) details() []string {
	all := []string{p.Detail}
	for _, fault := range p.Errors {
		all = append(all, fault.Detail)
	}
	return all
}

// details are those of the problem document that was received; none where it is another one.
func (x exchange) details() []string {
	var p told
	if x.resp.Header.Get("Content-Type") != problemType || json.Unmarshal(x.received, &p) != nil {
		return nil
	}
	return p.details()
}

// exampleDetails are those of the examples, in the order of the names of the answers.
func exampleDetails() ([]string, error) {
	var document struct {
		Components struct {
			Responses map[string]struct {
				Content map[string]struct{ Example told }
			}
		}
	}
	if err := json.Unmarshal(apidoc.Document(), &document); err != nil {
		return nil, fmt.Errorf("read the API document: %w", err)
	}
	responses := document.Components.Responses
	var all []string
	for _, name := range slices.Sorted(maps.Keys(responses)) {
		if content, ok := responses[name].Content[problemType]; ok {
			all = append(all, content.Example.details()...)
		}
	}
	return all, nil
}
