package wrk

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	const out = `Running 1s test @ http://127.0.0.1:1/
  1 threads and 64 connections
Requests/sec:  40000.00

result {"requests":80000,"duration_us":2000000,"p50_us":1500,"p99_us":4200,"connect":0,"read":0,"write":0,"status":0,"timeout":0}
`
	r, err := parse(out)
	if err != nil || r.PerSecond() != 40_000 || r.P99() != 4200*time.Microsecond {
		t.Errorf("parse = %+v, %v", r, err)
	}
	for name, bad := range map[string]string{
		"no result":  "Running 1s test\n",
		"no JSON":    "result {\n",
		"no request": `result {"requests":0,"duration_us":2000000}` + "\n",
		"a fault":    `result {"requests":10,"duration_us":2000000,"status":1}` + "\n",
	} {
		if r, err := parse(bad); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
