package cli

import (
	"strings"
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	const day = 24 * time.Hour
	for _, row := range []struct {
		in    string
		want  time.Duration
		fault string
	}{
		{"90d", 90 * day, ""},
		{"1h", time.Hour, ""},
		{"1d12h", 36 * time.Hour, ""},
		{"2w1d1h1m1s", 15*day + time.Hour + time.Minute + time.Second, ""},
		{"0", 0, ""},
		{"0s", 0, ""},
		{"106751d", 106751 * day, ""},
		{"106752d", 0, "shorter than 292 years"},
		{"106751d86400s", 0, "shorter than 292 years"},
		{"99999999999999999999s", 0, "shorter than 292 years"},
		{"", 0, "whole numbers"},
		{"90", 0, "whole numbers"},
		{"d", 0, "whole numbers"},
		{"1.5h", 0, "whole numbers"},
		{"-1h", 0, "whole numbers"},
		{"+1h", 0, "whole numbers"},
		{"1 h", 0, "whole numbers"},
		{"1M", 0, "whole numbers"},
		{"1é", 0, "whole numbers"},
		{"1h2", 0, "whole numbers"},
		{"10ms", 0, "whole numbers"},
	} {
		var v span
		err := v.Set(row.in)
		switch {
		case row.fault == "" && (err != nil || time.Duration(v) != row.want):
			t.Errorf("%q: %v, %v", row.in, time.Duration(v), err)
		case row.fault != "" && (err == nil || !strings.Contains(err.Error(), row.fault)):
			t.Errorf("%q: %v, %v", row.in, time.Duration(v), err)
		}
	}
}
