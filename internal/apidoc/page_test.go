package apidoc

import (
	"crypto/sha256"
	"encoding/base64"
	"math"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// maxPage is how large the page may be, in bytes: it is to load at once on a telephone.
const maxPage = 300_000

func TestPageIsSelfContained(t *testing.T) {
	r, body := get(t, Page(), "GET")
	if got := r.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %s", got)
	}
	if len(body) > maxPage {
		t.Errorf("the page has %d bytes, at most %d are wanted", len(body), maxPage)
	}

	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(body, -1)
	if len(style) != 1 {
		t.Fatalf("%d styles", len(style))
	}
	sum := sha256.Sum256([]byte(style[0][1]))
	policy := r.Header.Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none'; ",
		"style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; ",
		"frame-ancestors 'none'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %q: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %s", policy)
	}
	if strings.Contains(style[0][1], "url(") || strings.Contains(style[0][1], "@import") {
		t.Error("the style loads something")
	}
}

// Every link leads somewhere, every id is there once, and nothing comes from elsewhere.
func TestPageLinks(t *testing.T) {
	_, body := get(t, Page(), "GET")
	ids := map[string]bool{}
	var links []string
	z := html.NewTokenizer(strings.NewReader(body))
	for z.Next() != html.ErrorToken {
		token := z.Token()
		if token.Type != html.StartTagToken {
			continue
		}
		switch token.Data {
		case "script", "iframe", "img", "object", "form":
			t.Errorf("<%s> is on the page", token.Data)
		}
		for _, a := range token.Attr {
			switch {
			case a.Key == "id":
				if ids[a.Val] {
					t.Errorf("id %s is there twice", a.Val)
				}
				ids[a.Val] = true
			case a.Key == "href" && token.Data != "link":
				links = append(links, a.Val)
			case a.Key == "href" && !strings.HasPrefix(a.Val, "data:"), a.Key == "src", a.Key == "style",
				strings.HasPrefix(a.Key, "on"):
				t.Errorf("<%s %s=%q>", token.Data, a.Key, a.Val)
			case a.Key == "aria-labelledby":
				links = append(links, "#"+a.Val)
			}
		}
	}
	if len(links) < 100 {
		t.Fatalf("only %d links", len(links))
	}
	for _, link := range links {
		id, inside := strings.CutPrefix(link, "#")
		if inside && !ids[id] {
			t.Errorf("%s leads nowhere", link)
		}
		if !inside && link != "/openapi.json" {
			t.Errorf("%s leads off the page", link)
		}
	}
}

// Tags that are not closed in the right order would let a browser guess.
func TestPageIsWellFormed(t *testing.T) {
	_, body := get(t, Page(), "GET")
	void := []string{"meta", "link", "br", "hr"}
	var open []string
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("never closed: %v", open)
			}
			return
		case html.StartTagToken:
			if name, _ := z.TagName(); !slices.Contains(void, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> inside %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func TestPageShowsTheWholeDocument(t *testing.T) {
	d := mustParse(t)
	_, body := get(t, Page(), "GET")
	text := pageText(t, body)
	want := []string{d.Info.Summary, d.Info.Version}
	describe := func(description string) {
		for paragraph := range strings.SplitSeq(description, "\n\n") {
			want = append(want, strings.NewReplacer("`", "", "**", "").Replace(paragraph))
		}
	}
	describe(d.Info.Description)
	for _, tag := range d.Tags {
		describe(tag.Description)
	}
	for _, s := range d.Components.SecuritySchemes {
		describe(s.Value.Description)
	}
	for _, p := range d.Paths {
		for _, m := range p.Value.methods() {
			want = append(want, m.name+" "+p.Name, m.Summary)
			describe(m.Description)
			for _, list := range [][]parameter{p.Value.Parameters, m.operation.Parameters} {
				for i := range list {
					param, err := d.parameter(&list[i])
					if err != nil {
						t.Fatal(err)
					}
					describe(param.Description)
				}
			}
			for _, r := range m.Responses {
				if r.Name < "400" { // of errors the page shows the codes
					answer, err := d.response(r.Value)
					if err != nil {
						t.Fatal(err)
					}
					describe(answer.Description)
					for _, h := range answer.Headers {
						header, err := d.header(h.Value)
						if err != nil {
							t.Fatal(err)
						}
						describe(header.Description)
					}
				}
			}
			if m.RequestBody != nil {
				for _, x := range m.RequestBody.Content[0].Value.Examples {
					want = append(want, x.Value.Summary)
				}
			}
		}
	}
	for _, s := range d.Components.Schemas {
		describe(s.Value.Description)
		for _, meaning := range s.Value.EnumDescriptions {
			describe(meaning)
		}
		for _, property := range s.Value.Properties {
			describe(property.Value.Description)
		}
	}
	for _, piece := range want {
		if !strings.Contains(text, strings.Join(strings.Fields(piece), " ")) {
			t.Errorf("the page does not say %q", piece)
		}
	}
	if strings.ContainsAny(text, "`") || strings.Contains(text, "**") {
		t.Error("there is Markdown on the page")
	}
}

// pageText returns the text of a page with single spaces.
func pageText(t *testing.T, page string) string {
	t.Helper()
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for z.Next() != html.ErrorToken {
		if token := z.Token(); token.Type == html.TextToken {
			b.WriteString(token.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Every command on the page is one that a shell takes apart as it is meant.
func TestCurlCommands(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	d := mustParse(t)
	ref, err := newReference(d)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, g := range ref.Groups {
		for _, o := range g.Operations {
			for _, s := range o.Requests {
				count++
				command := html.UnescapeString(string(s.Text))
				out, err := exec.CommandContext(t.Context(), sh, "-euc",
					`APIKEYD_KEY=secret; APIKEYD_SESSION=cookie; curl() { printf '%s\0' "$@"; }; `+command).Output()
				if err != nil {
					t.Errorf("%s, %s: %v", o.Anchor, s.Title, err)
					continue
				}
				checkCurl(t, o, strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"))
			}
		}
	}
	if count < 45 {
		t.Errorf("only %d commands", count)
	}
}

// checkCurl looks at the arguments of a command.
func checkCurl(t *testing.T, o operationEntry, args []string) {
	t.Helper()
	method, address, body := "", "", ""
	var headers []string
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-X":
			i++
			method = args[i]
		case "-H":
			i++
			headers = append(headers, args[i])
		case "-d":
			i++
			body = args[i]
		default:
			address = args[i]
		}
	}
	if method == "" {
		method = "GET"
		if body != "" {
			method = "POST"
		}
	}
	if method != o.Method {
		t.Errorf("%s: method %s, want %s", o.Anchor, method, o.Method)
	}
	u, err := url.Parse(address)
	want := strings.NewReplacer("{key_id}", "17", "{organization_id}", "432", "{user_id}", "8", "{session_id}", "71").Replace(o.Path)
	if err != nil || u.Path != want || !strings.HasPrefix(address, o.URL) {
		t.Errorf("%s: address %s", o.Anchor, address)
	}
	credential := map[string]string{"none": "", "bearer token": "Authorization: Bearer secret",
		"__Host-apikeyd cookie": "Cookie: __Host-apikeyd=cookie"}
	for first, header := range credential {
		if header != "" && slices.Contains(headers, header) != (first == o.Credential[0].Text) {
			t.Errorf("%s, which wants %s: headers %q", o.Anchor, o.Credential[0].Text, headers)
		}
	}
	if _, known := credential[o.Credential[0].Text]; !known {
		t.Errorf("%s: credential %s", o.Anchor, o.Credential[0].Text)
	}
	if (o.Body != nil) != (body != "") || (body != "") != slices.Contains(headers, "Content-Type: application/json") {
		t.Errorf("%s: headers %q with the body %q", o.Anchor, headers, body)
	}
}

// Text has the contrast that WCAG 2.2 asks for at level AA, 4.5 to 1, in light and in dark.
func TestContrast(t *testing.T) {
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(pageStyle, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d sets of colours, want light and dark", len(blocks))
	}
	colours := map[string]string{}
	for i, block := range blocks {
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6});`).FindAllStringSubmatch(block[1], -1) {
			colours[m[1]] = m[2] // the dark set changes the light one
		}
		for paper, inks := range map[string][]string{
			"paper": {"text", "faint", "accent", "get", "post", "patch", "delete"},
			"panel": {"text", "faint", "accent", "get", "post", "patch", "delete"},
			"code":  {"on-code", "name", "string", "number"},
		} {
			for _, ink := range inks {
				if ratio := contrast(t, colours[ink], colours[paper]); ratio < 4.5 {
					t.Errorf("set %d: %s on %s has a contrast of %.1f", i, ink, paper, ratio)
				}
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

// luminance is the relative luminance of WCAG.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	digits := strings.TrimPrefix(colour, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	rgb, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) != 6 {
		t.Fatalf("colour %q", colour)
	}
	channel := func(shift int) float64 {
		c := float64(rgb>>shift&0xff) / 255
		if c <= .04045 {
			return c / 12.92
		}
		return math.Pow((c+.055)/1.055, 2.4)
	}
	return .2126*channel(16) + .7152*channel(8) + .0722*channel(0)
}
