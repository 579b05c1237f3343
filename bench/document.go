package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The results in the document stand between these lines.
const (
	beginMark = "<!-- begin of results: go run ./bench -write -->"
	endMark   = "<!-- end of results -->"
)

// writeDocument puts the report into the document, in place of the one that is there.
func (r *report) writeDocument(root string) error {
	path := filepath.Join(root, document)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := replaceResults(string(text), r.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(path, []byte(changed), 0o644)
}

// replaceResults puts results between the marks of a document.
func replaceResults(text, results string) (string, error) {
	head, rest, found := strings.Cut(text, beginMark+"\n")
	if !found {
		return "", fmt.Errorf("there is no line %s", beginMark)
	}
	_, tail, found := strings.Cut(rest, endMark+"\n")
	if !found {
		return "", fmt.Errorf("there is no line %s", endMark)
	}
	return head + beginMark + "\n" + strings.TrimSpace(results) + "\n" + endMark + "\n" + tail, nil
}
