package cli

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// TestHostileServer: whatever a server says, no byte of it makes a terminal do something.
func TestHostileServer(t *testing.T) {
	evil := "a\x1b[2J\u009b31m\u202e\x07\x7f\u2028\ufeff\U000e0041b\nc"
	text, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	// encoding/json leaves most of it as it is, as a hostile server would.
	bad := key(`"Backend API Key"`, string(text), `"ak_7Gx2…9fQ2"`, string(text), `["READ","CREATE"]`, "["+string(text)+"]",
		`"metadata":{}`, `"metadata":{`+string(text)+`:`+string(text)+`}`)
	token := strings.Replace(withToken(bad), `"`+newToken+`"`, string(text), 1)
	answers := map[string]string{
		"GET /v1/api-keys/17":         "200 " + bad,
		"GET /v1/api-keys?limit=101":  "200 [" + bad + "]",
		"POST /v1/api-keys/17/rotate": "200 " + token,
		"POST /v1/verify":             `200 {"valid":false,"code":` + string(text) + `,"key_id":1,"key_name":` + string(text) + `,"metadata":` + string(text) + `}`,
		"PATCH /v1/api-keys/17":       problem(api.Code(evil), evil, api.Fault{Pointer: evil, Detail: evil}, api.Fault{Pointer: "/key_name/" + evil, Detail: evil}),
		"DELETE /v1/api-keys/17":      "418 " + evil,
	}
	for _, args := range []string{
		"get|17", "get|17|-o|json", "list", "list|-o|json", "rotate|17", "rotate|17|-o|json", "rotate|17|-o|token",
		"verify|x", "verify|x|-o|json", "update|17|--enabled", "delete|17",
	} {
		got := against(serve(t, maps.Clone(answers))).run(t, strings.Split(args, "|")...)
		all := got.out + got.stderr
		if i := strings.IndexFunc(all, func(r rune) bool { return r != '\n' && !shown(r) }); i >= 0 {
			t.Errorf("%s prints %q", args, all)
		}
		if strings.Contains(all, "\nc") || !strings.Contains(all, "[2J") {
			t.Errorf("%s prints a line break of the server's, or nothing of it: %q", args, all)
		}
	}
}
