package apidoc

import "testing"

func TestInline(t *testing.T) {
	for markdown, want := range map[string]string{
		"plain":                 "plain",
		"a `code` b":            "a <code>code</code> b",
		"**strong** & `<tag>`":  "<strong>strong</strong> &amp; <code>&lt;tag&gt;</code>",
		"`**` stays":            "<code>**</code> stays",
		`<script>"x"</script>`:  "&lt;script&gt;&#34;x&#34;&lt;/script&gt;",
		"`a``b` and **c****d**": "<code>a</code><code>b</code> and <strong>c</strong><strong>d</strong>",
	} {
		if got := string(inline(markdown)); got != want {
			t.Errorf("%s: %s, want %s", markdown, got, want)
		}
	}
}

func TestLayOut(t *testing.T) {
	long := `{"key_name":"Backend API Key","key_scope":["READ", "CREATE"],"metadata":{},"organization_id":432}`
	for _, c := range []struct{ name, in, want string }{
		{"a literal", ` null `, `null`},
		{"what fits on a line", `{"a":[1,2],"b":{"c":"d"}}`, `{"a": [1, 2], "b": {"c": "d"}}`},
		{"empty", `[ ]`, `[]`},
		{"what does not fit, in the order of the author", long, "{\n" +
			"  \"key_name\": \"Backend API Key\",\n" +
			"  \"key_scope\": [\"READ\", \"CREATE\"],\n" +
			"  \"metadata\": {},\n" +
			"  \"organization_id\": 432\n}"},
	} {
		got, err := layOut([]byte(c.in), "", plain)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	if got, err := layOut([]byte(`{"a<":["b&",1]}`), "", coloured); err != nil ||
		got != `{<span class=k>&#34;a\u003c&#34;</span>: [<span class=s>&#34;b&amp;&#34;</span>, <span class=n>1</span>]}` {
		t.Errorf("coloured: %s, %v", got, err)
	}
	if got, err := layOut([]byte(`{"a":`), "", plain); err == nil {
		t.Errorf("what is no JSON: %s", got)
	}
}

func TestSpan(t *testing.T) {
	n := func(i int64) *int64 { return &i }
	for _, c := range []struct {
		low, high *int64
		unit      string
		want      string
	}{
		{nil, nil, "item", ""},
		{n(1), nil, "item", "at least 1 item"},
		{nil, n(1000), "item", "at most 1,000 items"},
		{n(1), n(100), "character", "1 to 100 characters"},
		{n(3), n(3), "item", "exactly 3 items"},
		{n(0), n(31536000), "", "0 to 31,536,000"},
		{n(-1234567), n(-123), "", "-1,234,567 to -123"},
	} {
		if got := span(c.low, c.high, c.unit); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
