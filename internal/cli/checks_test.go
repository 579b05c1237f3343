package cli

import (
	"strings"
	"testing"
)

const usageJSON = `{
  "from": "2026-11-22T00:00:00.000Z",
  "to": "2026-11-24T00:00:00.000Z",
  "by": "day",
  "total": {
    "allowed": 20410,
    "refused": {
      "DISABLED": 3,
      "EXPIRED": 7
    }
  },
  "buckets": [
    {
      "start": "2026-11-22T00:00:00.000Z",
      "allowed": 20410,
      "refused": {
        "DISABLED": 3,
        "EXPIRED": 7
      }
    },
    {
      "start": "2026-11-23T00:00:00.000Z",
      "allowed": 0,
      "refused": {}
    }
  ]
}
`

const usageDays = `BEGIN       ALLOWED  REFUSED  WHY
2026-11-22  20410    10       EXPIRED 7, DISABLED 3
2026-11-23  0        0        -
total       20410    10       EXPIRED 7, DISABLED 3
`

func TestUsageCommands(t *testing.T) {
	const hours = `{"from":"2026-11-22T18:00:00.000Z","to":"2026-11-22T19:00:00.000Z","by":"hour","total":{"allowed":1,"refused":{}},` +
		`"buckets":[{"start":"2026-11-22T18:00:00.000Z","allowed":1,"refused":{}}]}`
	for _, row := range []struct {
		args, asked, answer, out string
	}{
		{"keys|usage|17", "/v1/api-keys/17/usage", hours,
			"BEGIN              ALLOWED  REFUSED  WHY\n2026-11-22T18:00Z  1        0        -\ntotal              1        0        -\n"},
		{"keys|usage|17|--by|day|--from|2026-11-22T01:00:00+01:00|--to|2026-11-24T00:00:00Z",
			"/v1/api-keys/17/usage?by=day&from=2026-11-22T00%3A00%3A00Z&to=2026-11-24T00%3A00%3A00Z", usageJSON, usageDays},
		{"orgs|usage|432|--by|day", "/v1/organizations/432/usage?by=day", usageJSON, usageDays},
		{"orgs|usage|432|--by|day|-o|json", "/v1/organizations/432/usage?by=day", usageJSON, usageJSON},
	} {
		s := serve(t, map[string]string{"GET " + row.asked: "200 " + row.answer})
		got := against(s).call(t, strings.Split(row.args, "|")...)
		equal(t, row.args, got.out, row.out)
		if got.stderr != "" || got.code != 0 {
			t.Errorf("%s: exit code %d, %s", row.args, got.code, got.stderr)
		}
	}
}

func TestWrongUsageOfUsage(t *testing.T) {
	for args, want := range map[string]string{
		"keys|usage":                "KEY_ID is missing|keys usage",
		"keys|usage|x":              `KEY_ID "x": must be a positive whole number|keys usage`,
		"keys|usage|17|--by|week":   `--by "week": must be hour or day|keys usage`,
		"orgs|usage|1|--from|today": `--from "today": must be a time such as 2027-01-31T18:00:00Z (RFC 3339)|orgs usage`,
		"orgs|usage|1|--since|1d|--from|2027-01-31T18:00:00Z": "--from and --since exclude each other; give one of them|orgs usage",
	} {
		s := serve(t, nil)
		got := against(s).call(t, strings.Split(args, "|")...)
		text, command, _ := strings.Cut(want, "|")
		equal(t, args, got.stderr, "apikeyd: "+text+"\nSee \""+command+" --help\".\n")
		if got.code != 2 || got.out != "" || s.asked != nil {
			t.Errorf("%s: exit code %d, output %q, sent %v", args, got.code, got.out, s.asked)
		}
	}
}

// What somebody may not see is not there.
func TestUsageOfNothing(t *testing.T) {
	got := against(serve(t, nil)).call(t, "keys", "usage", "17")
	if got.code != 1 || !strings.Contains(got.stderr, "key 17") {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
}
