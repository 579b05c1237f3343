package apidoc

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// curlCommand is a request as a shell command.
type curlCommand struct {
	method  string
	address string
	headers []string // `NAME: VALUE`; what begins with $ is left to the shell
	body    json.RawMessage
}

// text returns the command for a POSIX shell, in as many lines as it needs.
func (c curlCommand) text() (string, error) {
	const indent = "  "
	lines := []string{"curl " + quoteURL(c.address)}
	if c.method != "GET" && (c.method != "POST" || c.body == nil) { // with a body curl sends a POST
		lines[0] = "curl -X " + c.method + " " + quoteURL(c.address)
	}
	for _, h := range c.headers {
		lines = append(lines, `-H "`+h+`"`)
	}
	if c.body != nil {
		body, err := layOut(c.body, indent, plain)
		if err != nil {
			return "", err
		}
		lines = append(lines, "-d "+shellQuote(body))
	}
	return strings.Join(lines, " \\\n"+indent), nil
}

// quoteURL quotes an address where a shell would read more into it.
func quoteURL(address string) string {
	if strings.ContainsAny(address, "?&*[]{}'\" $`\\") {
		return shellQuote(address)
	}
	return address
}

// shellQuote returns text as one word of a POSIX shell.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// queryOf returns the query string of the parameters that have an example, with the "?".
func queryOf(parameters []*parameter) (string, error) {
	var pairs []string
	for _, p := range parameters {
		if p.In != "query" || p.Example == nil {
			continue
		}
		text, err := exampleText(p)
		if err != nil {
			return "", err
		}
		pairs = append(pairs, p.Name+"="+url.QueryEscape(text))
	}
	if pairs == nil {
		return "", nil
	}
	return "?" + strings.Join(pairs, "&"), nil
}

// pathOf fills in a path with the examples of its parameters.
func pathOf(path string, parameters []*parameter) (string, error) {
	for _, p := range parameters {
		if p.In != "path" {
			continue
		}
		text, err := exampleText(p)
		if err != nil {
			return "", err
		}
		path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(text))
	}
	if strings.ContainsRune(path, '{') {
		return "", fmt.Errorf("%s: a parameter of the path is not described", path)
	}
	return path, nil
}

// exampleText returns the example of a parameter as it stands in an address.
func exampleText(p *parameter) (string, error) {
	var text string
	if json.Unmarshal(p.Example, &text) == nil {
		return text, nil
	}
	if len(p.Example) == 0 || strings.ContainsAny(string(p.Example), "{[") {
		return "", fmt.Errorf("parameter %s: the example must be a string, a number or a boolean", p.Name)
	}
	return string(p.Example), nil
}
