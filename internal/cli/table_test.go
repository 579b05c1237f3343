package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

func keys() []api.Key {
	at := func(d time.Duration) *api.Time { return &api.Time{Time: now.Add(d)} }
	return []api.Key{
		{KeyID: 1234, KeyName: "Backend API Key", KeyHint: "ak_7Gx2…9fQ2", KeyScope: allScopes, Enabled: true, LastUsedAt: at(time.Second)},
		{KeyID: 17, KeyName: "課金サービス", KeyHint: "ak_7Gx2…9fQ2", KeyScope: allScopes[:1], Enabled: true, ExpiresAt: at(0), LastUsedAt: at(-59 * time.Minute)},
		{KeyID: 9, KeyName: "zu\u0308rich 👩\u200d🔬", KeyHint: "ak_7Gx2…9fQ2", KeyScope: allScopes[1:3], ExpiresAt: at(-1), LastUsedAt: at(-47 * time.Hour)},
		{KeyID: 8, KeyName: "x", KeyHint: "ak_7Gx2…9fQ2", KeyScope: allScopes[4:], Enabled: true, ExpiresAt: at(1), LastUsedAt: at(-48 * time.Hour)},
		{KeyID: 7, KeyName: "never used", KeyHint: "ak_7Gx2…9fQ2", KeyScope: []api.Scope{"READ", "NEWER"}, Enabled: true},
	}
}

func TestTable(t *testing.T) {
	for _, row := range []struct {
		width int
		want  string
	}{
		{0, `
ID    NAME             HINT          SCOPES                            STATE     LAST USED
1234  Backend API Key  ak_7Gx2…9fQ2  READ,CREATE,UPDATE,DELETE,MANAGE  active    just now
17    課金サービス     ak_7Gx2…9fQ2  READ                              expired   59m ago
9     zürich 👩‍🔬        ak_7Gx2…9fQ2  CREATE,UPDATE                     disabled  47h ago
8     x                ak_7Gx2…9fQ2  MANAGE                            active    2d ago
7     never used       ak_7Gx2…9fQ2  READ,NEWER                        active    never
`},
		{80, `
ID    NAME             HINT          SCOPES      STATE     LAST USED
1234  Backend API Key  ak_7Gx2…9fQ2  RCUDM       active    just now
17    課金サービス     ak_7Gx2…9fQ2  R           expired   59m ago
9     zürich 👩‍🔬        ak_7Gx2…9fQ2  CU          disabled  47h ago
8     x                ak_7Gx2…9fQ2  M           active    2d ago
7     never used       ak_7Gx2…9fQ2  READ,NEWER  active    never
`},
		{63, `
ID    NAME        HINT          SCOPES      STATE     LAST USED
1234  Backend A…  ak_7Gx2…9fQ2  RCUDM       active    just now
17    課金サー…   ak_7Gx2…9fQ2  R           expired   59m ago
9     zürich 👩‍🔬   ak_7Gx2…9fQ2  CU          disabled  47h ago
8     x           ak_7Gx2…9fQ2  M           active    2d ago
7     never used  ak_7Gx2…9fQ2  READ,NEWER  active    never
`},
	} {
		var b bytes.Buffer
		table := &table[api.Key]{out: &b, width: row.width, columns: keyColumns(now)}
		for _, k := range keys() {
			if err := table.add(k); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(strings.TrimPrefix(row.want, "\n"), "ü", "u\u0308")
		equal(t, fmt.Sprint("width ", row.width), b.String(), want)
		for line := range strings.Lines(b.String()) {
			if w := characters.StringWidth(strings.TrimSuffix(line, "\n")); row.width > 0 && w > row.width {
				t.Errorf("%d columns do not fit into %d: %s", w, row.width, line)
			}
		}
	}
}

// A table that comes in pieces has one heading, and its columns never move back.
func TestLongTable(t *testing.T) {
	for _, width := range []int{0, 60} {
		var b bytes.Buffer
		table := &table[api.Key]{out: &b, width: width, columns: keyColumns(now)}
		k := keys()[0]
		for i := range 3*tableRows + 5 {
			k.KeyID = int64(5000 - i)
			k.KeyName = strings.Repeat("n", 8+i/1000)
			if err := table.add(k); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != 3*tableRows+6 || strings.Count(b.String(), "NAME") != 1 {
			t.Errorf("width %d: %d lines", width, len(lines))
		}
		last := 0
		for i, line := range lines {
			hint := characters.StringWidth(line[:strings.Index(line+"HINT", map[bool]string{true: "HINT", false: "ak_"}[i == 0])])
			if hint < last {
				t.Fatalf("width %d: line %d moves back: %s", width, i, line)
			}
			last = hint
			if width > 0 && characters.StringWidth(line) > width {
				t.Fatalf("width %d: line %d does not fit: %s", width, i, line)
			}
		}
	}
}
