package apidoc

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
)

var (
	//go:embed page.html.tmpl
	pageTemplate string
	//go:embed page.css
	pageStyle string
)

// render makes the reference page out of an OpenAPI document.
func render(openapi []byte) ([]byte, error) {
	d, err := parse(openapi)
	if err != nil {
		return nil, err
	}
	ref, err := newReference(d)
	if err != nil {
		return nil, err
	}
	ref.Style = template.CSS(pageStyle)
	page, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := page.Execute(&out, ref); err != nil {
		return nil, fmt.Errorf("render the reference page: %w", err)
	}
	return out.Bytes(), nil
}

// contentSecurityPolicy allows the page its own style and icon, and nothing else: no script, no other host, no frame.
func contentSecurityPolicy() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
