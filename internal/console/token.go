package console

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

// pageToken is the template of this page.
const pageToken = "token"

// tokenPage is what the page says that shows a token.
type tokenPage struct {
	Title    string
	Name     string
	Token    string
	Grace    string // how long the token before it is good; "": there is none, or it is dead
	Rotated  bool
	File     template.URL // the token as a file to download
	FileName string
	Snippets []snippet
	Key      string // address of the key's page
}

// snippet is a program to paste.
type snippet struct {
	ID, Name, Text string
	Open           bool
}

// showToken shows a token. It is the answer to the form itself, and not a page of its own: the token is kept nowhere, so no other
// request, and no other node, could show it.
func (c *Console) showToken(v *visit, s shownToken) error {
	status := http.StatusCreated
	p := tokenPage{Title: "Your key", Name: s.name, Token: s.token.Reveal(), Key: keyURL(s.keyID), Rotated: s.rotated}
	if p.Rotated {
		status, p.Title = http.StatusOK, "The new key"
	}
	if s.grace > 0 {
		p.Grace = windowText(s.grace)
	}
	line := variable + "=" + p.Token
	p.File = template.URL("data:text/plain;base64," + base64.StdEncoding.EncodeToString([]byte(line+"\n"))) //nolint:gosec // made here
	p.FileName = fmt.Sprintf("key-%d.env", s.keyID)
	p.Snippets = c.snippets(line, p.Token)
	return c.show(v, status, pageToken, frame{Title: p.Title, Section: sectionKeys, Organization: s.organizationID, Main: p})
}

// variable is what programs find a key under in their environment. Our own command line looks there, too.
const variable = "APIKEYD_KEY"

// snippets are programs that use a key: they ask who they are, which every key may.
func (c *Console) snippets(line, token string) []snippet {
	url := c.ManagementURL() + "/v1/me"
	all := []snippet{
		{ID: "curl", Name: "curl", Open: true, Text: "export " + line + "\n" + `curl -H "Authorization: Bearer $APIKEYD_KEY" ` + url},
		{ID: "go", Name: "Go", Text: fmt.Sprintf(goSnippet, url)},
		{ID: "python", Name: "Python", Text: fmt.Sprintf(pythonSnippet, url)},
		{ID: "javascript", Name: "JavaScript", Text: fmt.Sprintf(javaScriptSnippet, url)},
	}
	if verify := c.VerificationURL(); verify != "" {
		all = append(all, snippet{ID: "check", Name: "Check it, on the server",
			Text: fmt.Sprintf("curl %s/v1/verify -H 'Content-Type: application/json' -d '{\"key\": \"%s\"}'", verify, token)})
	}
	for i := range all {
		all[i].Text = strings.TrimSpace(all[i].Text)
	}
	return all
}

// The programs. Each takes the address that it calls.
const (
	goSnippet = `
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	r, err := http.NewRequest("GET", %q, nil)
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+os.Getenv("APIKEYD_KEY"))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(os.Stdout, answer.Body)
}`
	pythonSnippet = `
import os, urllib.request

request = urllib.request.Request(
    %q,
    headers={"Authorization": "Bearer " + os.environ["APIKEYD_KEY"]},
)
print(urllib.request.urlopen(request).read().decode())`
	javaScriptSnippet = `
const answer = await fetch(%q, {
  headers: {Authorization: ` + "`Bearer ${process.env.APIKEYD_KEY}`" + `},
})
console.log(await answer.json())`
)
