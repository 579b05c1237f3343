package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// valid is a body that creates a key; bad bodies differ from it in what they are about.
const valid = `{"key_name":"a","key_scope":["READ"],"organization_id":1}`

func with(member string) string { return strings.TrimSuffix(valid, "}") + "," + member + "}" }

func named(name string) string {
	return `{"key_name":` + name + `,"key_scope":["READ"],"organization_id":1}`
}

func scoped(scope string) string {
	return `{"key_name":"a","key_scope":` + scope + `,"organization_id":1}`
}

func owned(id string) string {
	return `{"key_name":"a","key_scope":["READ"],"organization_id":` + id + `}`
}

const (
	is400 = api.CodeMalformedRequest
	is422 = api.CodeInvalid
)

var hugeMetadata = `{"a":"` + strings.Repeat("x", 4096-len(`{"a":""}`)+1) + `"}`

// inEach returns the pointers to something in each of the first n items of an array.
func inEach(array string, n int, inside string) (pointers []string) {
	for i := range n {
		pointers = append(pointers, arrayPointer(array, i)+inside)
	}
	return pointers
}

// badBodies are sent to create a key. Pointers are those of the faults, in any order.
var badBodies = []struct {
	name     string
	body     string
	code     api.Code
	pointers []string
}{
	// Not one JSON object.
	{"empty body", "", is400, nil},
	{"white space alone", " \n", is400, nil},
	{"half an object", `{"key_name":"a"`, is400, nil},
	{"half a string", `{"key_name":"a`, is400, nil},
	{"no JSON at all", `key_name=a&organization_id=1`, is400, nil},
	{"XML", `<key/>`, is400, nil},
	{"single quotes", `{'key_name':'a'}`, is400, nil},
	{"bare names", `{key_name:"a"}`, is400, nil},
	{"comma at the end of an object", `{"key_name":"a",}`, is400, nil},
	{"comma at the end of an array", scoped(`["READ",]`), is400, nil},
	{"missing comma", `{"key_name":"a" "organization_id":1}`, is400, nil},
	{"missing colon", `{"key_name" "a"}`, is400, nil},
	{"comment", `{/* a */}`, is400, nil},
	{"NaN", owned("NaN"), is400, nil},
	{"Infinity", owned("Infinity"), is400, nil},
	{"hexadecimal number", owned("0x1"), is400, nil},
	{"leading zero", owned("01"), is400, nil},
	{"leading plus", owned("+1"), is400, nil},
	{"number without an end", owned("1."), is400, nil},
	{"True", with(`"enabled":True`), is400, nil},
	{"name that is no string", `{1:2}`, is400, nil},
	{"byte order mark", "\ufeff" + valid, is400, nil},
	{"NUL byte in front", "\x00" + valid, is400, nil},
	{"NUL byte in a string", named("\"a\x00\""), is400, nil},
	{"line break in a string", named("\"a\nb\""), is400, nil},
	{"unknown escape", named(`"\x61"`), is400, nil},
	{"half a surrogate pair", named(`"\ud83d"`), is400, nil},
	{"surrogates in the wrong order", named(`"\ude00\ud83d"`), is400, nil},
	{"invalid UTF-8", named("\"\xff\""), is400, nil},
	{"overlong UTF-8", named("\"\xc0\xaf\""), is400, nil},
	{"UTF-8 of a surrogate", named("\"\xed\xa0\x80\""), is400, nil},
	{"UTF-16", "{\x00\"\x00a\x00\"\x00:\x001\x00}\x00", is400, nil},
	{"two objects", valid + valid, is400, nil},
	{"something behind the object", valid + " x", is400, nil},
	{"another value on another line", valid + "\nnull", is400, nil},
	{"a bracket too many", valid + "}", is400, nil},
	{"brackets that do not match", `{"key_scope":["READ"}]`, is400, nil},
	{"nested too deeply", with(`"metadata":` + strings.Repeat("[", 10100) + strings.Repeat("]", 10100)), is400, nil},

	// JSON, but no object.
	{"null", "null", is422, []string{""}},
	{"array", "[]", is422, []string{""}},
	{"array of an object", "[" + valid + "]", is422, []string{""}},
	{"string", `"key_name"`, is422, []string{""}},
	{"number", "1", is422, []string{""}},
	{"boolean", "true", is422, []string{""}},

	// Unknown and repeated members.
	{"unknown field", with(`"name":"a"`), is400, []string{"/name"}},
	{"two unknown fields", with(`"x":1,"y":2`), is400, []string{"/x", "/y"}},
	{"wrong case", `{"Key_Name":"a","key_scope":["READ"],"organization_id":1}`, is400, []string{"/Key_Name", "/key_name"}},
	{"field of the answer: key_id", with(`"key_id":1`), is400, []string{"/key_id"}},
	{"field of the answer: user_id", with(`"user_id":1`), is400, []string{"/user_id"}},
	{"field of the answer: key", with(`"key":"a"`), is400, []string{"/key"}},
	{"empty name", with(`"":1`), is400, []string{"/"}},
	{"name with a slash and a tilde", with(`"a/b~c":1`), is400, []string{"/a~1b~0c"}},
	{"__proto__", with(`"__proto__":{}`), is400, []string{"/__proto__"}},
	{"repeated field", with(`"key_name":"b"`), is400, []string{"/key_name"}},
	{"repeated with the same value", with(`"organization_id":1`), is400, []string{"/organization_id"}},
	{"repeated in another spelling", with(`"key\u005fname":"b"`), is400, []string{"/key_name"}},
	{"repeated in the metadata", with(`"metadata":{"a":1,"b":{"c":1,"c":2},"a":2}`), is400, []string{"/metadata/a", "/metadata/b/c"}},
	{"repeated in an array in the metadata", with(`"metadata":{"a":[{},{"b":1,"b":1}]}`), is400, []string{"/metadata/a/1/b"}},
	{"repeated unknown field", with(`"x":1,"x":2`), is400, []string{"/x"}},

	// Missing fields.
	{"nothing", `{}`, is422, []string{"/key_name", "/key_scope", "/organization_id"}},
	{"no name", `{"key_scope":["READ"],"organization_id":1}`, is422, []string{"/key_name"}},
	{"no scope", `{"key_name":"a","organization_id":1}`, is422, []string{"/key_scope"}},
	{"no organization", `{"key_name":"a","key_scope":["READ"]}`, is422, []string{"/organization_id"}},

	// key_name
	{"name null", named("null"), is422, []string{"/key_name"}},
	{"name number", named("1"), is422, []string{"/key_name"}},
	{"name array", named(`["a"]`), is422, []string{"/key_name"}},
	{"name object", named(`{}`), is422, []string{"/key_name"}},
	{"name empty", named(`""`), is422, []string{"/key_name"}},
	{"name of spaces", named(`" \t\u00a0\u3000 "`), is422, []string{"/key_name"}},
	{"name too long", named(`"` + strings.Repeat("é", 101) + `"`), is422, []string{"/key_name"}},
	{"name with a NUL", named(`"a\u0000b"`), is422, []string{"/key_name"}},
	{"name with a line break", named(`"a\nb"`), is422, []string{"/key_name"}},
	{"name with an escape character", named(`"\u001b[31m"`), is422, []string{"/key_name"}},
	{"name with a change of direction", named(`"a\u202eb"`), is422, []string{"/key_name"}},
	{"name with a byte order mark", named(`"a\ufeffb"`), is422, []string{"/key_name"}},
	{"name with a private character", named(`"\ue000"`), is422, []string{"/key_name"}},

	// key_scope
	{"scope null", scoped("null"), is422, []string{"/key_scope"}},
	{"scope string", scoped(`"READ"`), is422, []string{"/key_scope"}},
	{"scope list in a string", scoped(`"READ,CREATE"`), is422, []string{"/key_scope"}},
	{"scope object", scoped(`{"READ":true}`), is422, []string{"/key_scope"}},
	{"scope number", scoped("1"), is422, []string{"/key_scope"}},
	{"scope empty", scoped("[]"), is422, []string{"/key_scope"}},
	{"scope unknown", scoped(`["READ","WRITE"]`), is422, []string{"/key_scope/1"}},
	{"scope unknown alone", scoped(`["WRITE"]`), is422, []string{"/key_scope/0"}},
	{"scope in lower case", scoped(`["read"]`), is422, []string{"/key_scope/0"}},
	{"scope with a space", scoped(`["READ "]`), is422, []string{"/key_scope/0"}},
	{"scope empty string", scoped(`[""]`), is422, []string{"/key_scope/0"}},
	{"scope item null", scoped(`["READ",null]`), is422, []string{"/key_scope/1"}},
	{"scope item number", scoped(`[1]`), is422, []string{"/key_scope/0"}},
	{"scope nested", scoped(`[["READ"]]`), is422, []string{"/key_scope/0"}},
	{"every item wrong", scoped(`["A","READ",2]`), is422, []string{"/key_scope/0", "/key_scope/2"}},

	// organization_id
	{"organization null", owned("null"), is422, []string{"/organization_id"}},
	{"organization string", owned(`"1"`), is422, []string{"/organization_id"}},
	{"organization zero", owned("0"), is422, []string{"/organization_id"}},
	{"organization minus zero", owned("-0"), is422, []string{"/organization_id"}},
	{"organization negative", owned("-1"), is422, []string{"/organization_id"}},
	{"organization fraction", owned("1.5"), is422, []string{"/organization_id"}},
	{"organization with .0", owned("1.0"), is422, []string{"/organization_id"}},
	{"organization with an exponent", owned("1e0"), is422, []string{"/organization_id"}},
	{"organization far too large", owned("1e400"), is422, []string{"/organization_id"}},
	{"organization 2^63", owned("9223372036854775808"), is422, []string{"/organization_id"}},
	{"organization 2^64", owned("18446744073709551616"), is422, []string{"/organization_id"}},
	{"organization -2^63", owned("-9223372036854775808"), is422, []string{"/organization_id"}},
	{"organization of 1,000 digits", owned(strings.Repeat("9", 1000)), is422, []string{"/organization_id"}},
	{"organization boolean", owned("true"), is422, []string{"/organization_id"}},
	{"organization array", owned("[1]"), is422, []string{"/organization_id"}},
	{"organization that does not exist", owned("99"), is422, []string{"/organization_id"}},
	{"organization 2^63-1", owned("9223372036854775807"), is422, []string{"/organization_id"}},

	// enabled
	{"enabled null", with(`"enabled":null`), is422, []string{"/enabled"}},
	{"enabled string", with(`"enabled":"true"`), is422, []string{"/enabled"}},
	{"enabled number", with(`"enabled":1`), is422, []string{"/enabled"}},

	// expires_at
	{"expiry number", with(`"expires_at":1900000000`), is422, []string{"/expires_at"}},
	{"expiry boolean", with(`"expires_at":false`), is422, []string{"/expires_at"}},
	{"expiry empty", with(`"expires_at":""`), is422, []string{"/expires_at"}},
	{"expiry in words", with(`"expires_at":"tomorrow"`), is422, []string{"/expires_at"}},
	{"expiry date alone", with(`"expires_at":"2999-01-01"`), is422, []string{"/expires_at"}},
	{"expiry without a zone", with(`"expires_at":"2999-01-01T00:00:00"`), is422, []string{"/expires_at"}},
	{"expiry with a space", with(`"expires_at":"2999-01-01 00:00:00Z"`), is422, []string{"/expires_at"}},
	{"expiry with a comma", with(`"expires_at":"2999-01-01T00:00:00,5Z"`), is422, []string{"/expires_at"}},
	{"expiry with a short hour", with(`"expires_at":"2999-01-01T0:00:00Z"`), is422, []string{"/expires_at"}},
	{"expiry in month 13", with(`"expires_at":"2999-13-01T00:00:00Z"`), is422, []string{"/expires_at"}},
	{"expiry on 30 February", with(`"expires_at":"2999-02-30T00:00:00Z"`), is422, []string{"/expires_at"}},
	{"expiry at hour 24", with(`"expires_at":"2999-01-01T24:00:00Z"`), is422, []string{"/expires_at"}},
	{"expiry with a zone of a day", with(`"expires_at":"2999-01-01T00:00:00+24:00"`), is422, []string{"/expires_at"}},
	{"expiry in the past", with(`"expires_at":"2001-01-01T00:00:00Z"`), is422, []string{"/expires_at"}},
	{"expiry at the zero time", with(`"expires_at":"0001-01-01T00:00:00Z"`), is422, []string{"/expires_at"}},
	{"expiry in the year 10000", with(`"expires_at":"10000-01-01T00:00:00Z"`), is422, []string{"/expires_at"}},
	{"expiry beyond the year 9999 in UTC", with(`"expires_at":"9999-12-31T23:59:59-01:00"`), is422, []string{"/expires_at"}},

	// metadata
	{"metadata null", with(`"metadata":null`), is422, []string{"/metadata"}},
	{"metadata array", with(`"metadata":[]`), is422, []string{"/metadata"}},
	{"metadata string", with(`"metadata":"{}"`), is422, []string{"/metadata"}},
	{"metadata number", with(`"metadata":1`), is422, []string{"/metadata"}},
	{"metadata too large", with(`"metadata":` + hugeMetadata), is422, []string{"/metadata"}},
	{"metadata too large because of white space", with(`"metadata":{` + strings.Repeat(" ", 4095) + `}`), is422, []string{"/metadata"}},

	// limits
	{"limits null", with(`"limits":null`), is422, []string{"/limits"}},
	{"limits object", with(`"limits":{"requests":1,"window_seconds":1}`), is422, []string{"/limits"}},
	{"limits string", with(`"limits":"100/60"`), is422, []string{"/limits"}},
	{"limit null", with(`"limits":[null]`), is422, []string{"/limits/0"}},
	{"limit array", with(`"limits":[[100,60]]`), is422, []string{"/limits/0"}},
	{"limit number", with(`"limits":[100]`), is422, []string{"/limits/0"}},
	{"limit empty", with(`"limits":[{}]`), is422, []string{"/limits/0/requests", "/limits/0/window_seconds"}},
	{"limit without requests", with(`"limits":[{"window_seconds":60}]`), is422, []string{"/limits/0/requests"}},
	{"limit without a window", with(`"limits":[{"requests":60}]`), is422, []string{"/limits/0/window_seconds"}},
	{"limit of wrong types", with(`"limits":[{"name":1,"requests":"1","window_seconds":null}]`), is422,
		[]string{"/limits/0/name", "/limits/0/requests", "/limits/0/window_seconds"}},
	{"limit of nothing", with(`"limits":[{"requests":0,"window_seconds":0}]`), is422, []string{"/limits/0/requests", "/limits/0/window_seconds"}},
	{"limit negative", with(`"limits":[{"requests":-1,"window_seconds":-60}]`), is422, []string{"/limits/0/requests", "/limits/0/window_seconds"}},
	{"limit fraction", with(`"limits":[{"requests":1.5,"window_seconds":0.5}]`), is422, []string{"/limits/0/requests", "/limits/0/window_seconds"}},
	{"limit exponent", with(`"limits":[{"requests":1e3,"window_seconds":1e1}]`), is422, []string{"/limits/0/requests", "/limits/0/window_seconds"}},
	{"limit too large", with(`"limits":[{"requests":1000000000000000,"window_seconds":31536001}]`), is422, []string{"/limits/0/requests", "/limits/0/window_seconds"}},
	{"limit of 2^64", with(`"limits":[{"requests":18446744073709551616,"window_seconds":18446744073709551616}]`), is422,
		[]string{"/limits/0/requests", "/limits/0/window_seconds"}},
	{"limit with an unknown field", with(`"limits":[{"requests":1,"window_seconds":1,"burst":5}]`), is400, []string{"/limits/0/burst"}},
	{"limit with a repeated field", with(`"limits":[{"requests":1,"requests":2,"window_seconds":1}]`), is400, []string{"/limits/0/requests"}},
	{"limit names", with(`"limits":[{"name":"","requests":1,"window_seconds":1},{"name":"quota","requests":1,"window_seconds":1},` +
		`{"name":"a\"b","requests":1,"window_seconds":1},{"name":null,"requests":1,"window_seconds":1},{"name":"` + strings.Repeat("n", 65) + `","requests":1,"window_seconds":1}]`),
		is422, []string{"/limits/0/name", "/limits/1/name", "/limits/2/name", "/limits/3/name", "/limits/4/name"}},
	{"limits of one name", with(`"limits":[{"requests":1,"window_seconds":1},{"name":"a","requests":1,"window_seconds":1},{"name":"default","requests":1,"window_seconds":1}]`),
		is422, []string{"/limits/2/name"}},
	{"11 limits", with(`"limits":[` + strings.Repeat(`1,`, 10) + `{}]`), is422, []string{"/limits", "/limits/0", "/limits/1", "/limits/2", "/limits/3",
		"/limits/4", "/limits/5", "/limits/6", "/limits/7", "/limits/8", "/limits/9"}},
	{"20,000 limits", with(`"limits":[` + strings.Repeat(`{},`, 20_000) + `{}]`), is422, slices.Concat([]string{"/limits"}, inEach("/limits", 10, "/requests"),
		inEach("/limits", 10, "/window_seconds"))},

	// quota
	{"quota number", with(`"quota":1000`), is422, []string{"/quota"}},
	{"quota array", with(`"quota":[]`), is422, []string{"/quota"}},
	{"quota empty", with(`"quota":{}`), is422, []string{"/quota/requests"}},
	{"quota zero", with(`"quota":{"requests":0}`), is422, []string{"/quota/requests"}},
	{"quota minus one", with(`"quota":{"requests":-1,"period":null}`), is422, []string{"/quota/requests"}},
	{"quota string", with(`"quota":{"requests":"1"}`), is422, []string{"/quota/requests"}},
	{"quota too large", with(`"quota":{"requests":1000000000000000}`), is422, []string{"/quota/requests"}},
	{"quota of 2^63", with(`"quota":{"requests":9223372036854775808}`), is422, []string{"/quota/requests"}},
	{"quota period unknown", with(`"quota":{"requests":1,"period":"year"}`), is422, []string{"/quota/period"}},
	{"quota period empty", with(`"quota":{"requests":1,"period":""}`), is422, []string{"/quota/period"}},
	{"quota period in upper case", with(`"quota":{"requests":1,"period":"DAY"}`), is422, []string{"/quota/period"}},
	{"quota period number", with(`"quota":{"requests":1,"period":30}`), is422, []string{"/quota/period"}},
	{"quota without requests", with(`"quota":{"period":"day"}`), is422, []string{"/quota/requests"}},
	{"quota with what is left", with(`"quota":{"requests":1,"remaining":1}`), is400, []string{"/quota/remaining"}},

	// allowed_cidrs
	{"addresses null", with(`"allowed_cidrs":null`), is422, []string{"/allowed_cidrs"}},
	{"addresses string", with(`"allowed_cidrs":"10.0.0.0/8"`), is422, []string{"/allowed_cidrs"}},
	{"addresses of wrong types", with(`"allowed_cidrs":[1,null,[],{},true]`), is422, inEach("/allowed_cidrs", 5, "")},
	{"addresses that are none", with(`"allowed_cidrs":["","localhost","10.0.0.0/33","10.0.0/8","fe80::1%eth0","fe80::%eth0/64","::1/129","10.0.0.1/-1","1.2.3.4:80","[::1]"]`),
		is422, inEach("/allowed_cidrs", 10, "")},
	{"addresses with bits behind the prefix", with(`"allowed_cidrs":["10.0.0.0/8","10.0.0.1/8","2001:db8::1/32"]`), is422, []string{"/allowed_cidrs/1", "/allowed_cidrs/2"}},
	{"65 addresses", with(`"allowed_cidrs":[` + strings.Repeat(`"10.0.0.1",`, 64) + `"10.0.0.2"]`), is422, []string{"/allowed_cidrs"}},
	{"30,000 addresses", with(`"allowed_cidrs":[` + strings.Repeat(`1,`, 30_000) + `1]`), is422, append(inEach("/allowed_cidrs", 64, ""), "/allowed_cidrs")},

	// All faults at once.
	{"all restrictions wrong", `{"key_name":"","key_scope":["READ"],"organization_id":1,"limits":[{"requests":1}],"quota":{"requests":0},"allowed_cidrs":["x"]}`,
		is422, []string{"/key_name", "/limits/0/window_seconds", "/quota/requests", "/allowed_cidrs/0"}},
	{"everything wrong", `{"key_name":" ","key_scope":["READ","X"],"organization_id":"1","enabled":0,"expires_at":"2001-01-01T00:00:00Z","metadata":[]}`,
		is422, []string{"/key_name", "/key_scope/1", "/organization_id", "/enabled", "/expires_at", "/metadata"}},
	{"unknown field among wrong types", `{"key_name":1,"key_scope":[],"organisation_id":1,"expires_at":"2001-01-01T00:00:00Z"}`,
		is400, []string{"/key_name", "/key_scope", "/organisation_id", "/organization_id", "/expires_at"}},
	{"rules that are broken together", `{"key_name":"","key_scope":["READ"],"organization_id":99,"expires_at":"2001-01-01T00:00:00Z"}`,
		is422, []string{"/key_name", "/organization_id", "/expires_at"}},
}

func TestBadBodiesOfCreate(t *testing.T) {
	k := newKit(t, nil)
	for _, c := range badBodies {
		t.Run(c.name, func(t *testing.T) {
			k := k.in(t)
			checkFaults(t, k.call("POST", "/v1/api-keys", c.body, "Content-Type: application/json"), c.code, c.pointers)
		})
	}
	var keys []api.Key
	if k.call("GET", "/v1/api-keys", "").read(&keys); len(keys) != 1 {
		t.Errorf("bad bodies made keys: %+v", keys[:len(keys)-1])
	}
}

// checkFaults fails the test unless the answer is a problem with faults at these places, each with a detail.
func checkFaults(t *testing.T, r reply, code api.Code, pointers []string) (ok bool) {
	t.Helper()
	ok = true
	p := r.problem(code)
	var got []string
	for _, f := range p.Errors {
		got = append(got, f.Pointer)
		if !strings.HasPrefix(f.Detail, "must ") && !strings.HasPrefix(f.Detail, "is ") {
			t.Errorf("%s: detail %q", f.Pointer, f.Detail)
			ok = false
		}
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(pointers))
	if !slices.Equal(got, want) {
		t.Errorf("faults at %q, want %q: %s", got, want, r.body)
		ok = false
	}
	return ok
}

func TestGoodBodiesOfCreate(t *testing.T) {
	k := newKit(t, nil)
	for _, body := range []string{
		valid,
		" \t\r\n" + valid + "\n",
		`{"organization_id":1,"key_scope":["READ"],"key_name":"a"}`,
		named(`"` + strings.Repeat("é", 100) + `"`),
		named(`"👩‍👩‍👧 \ud83d\ude00 \u0061"`),
		named(`"ak_looks like one"`),
		scoped(`["MANAGE","READ","READ","DELETE","UPDATE","CREATE"]`),
		with(`"enabled":false`),
		with(`"expires_at":null`),
		with(`"expires_at":"2999-01-01T00:00:00.123456789+14:00"`),
		with(`"metadata":{}`),
		with(`"metadata":{"a":{"key_name":1},"b":[1e300,-0.0,null]}`),
		with(`"metadata":{` + strings.Repeat(" ", 4094) + `}`),
		with(`"metadata":{"a":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`),
		with(`"limits":[]`),
		with(`"limits":[{"requests":1,"window_seconds":1}]`),
		with(`"limits":[{"name":"A-z_0.9","requests":999999999999999,"window_seconds":31536000},{"requests":1,"window_seconds":1}]`),
		with(`"quota":null`),
		with(`"quota":{"requests":1}`),
		with(`"quota":{"requests":999999999999999,"period":null}`),
		with(`"quota":{"period":"month","requests":1}`),
		with(`"allowed_cidrs":[]`),
		with(`"allowed_cidrs":["0.0.0.0/0","::/0","203.0.113.9","2001:db8::1","::ffff:10.0.0.0/104"]`),
		with(`"allowed_cidrs":[` + strings.Repeat(`"10.0.0.1",`, 63) + `"10.0.0.2"]`),
		valid + strings.Repeat(" ", 64<<10-len(valid)),
	} {
		if r := k.call("POST", "/v1/api-keys", body); r.status != http.StatusCreated {
			t.Errorf("%.200s: %d %s", body, r.status, r.body)
		}
	}
}

func TestBadBodiesOfUpdateAndRotate(t *testing.T) {
	k := newKit(t, nil)
	for _, c := range []struct {
		method, path, body string
		code               api.Code
		pointers           []string
	}{
		{"PATCH", "", "", is400, nil},
		{"PATCH", "", "null", is422, []string{""}},
		{"PATCH", "", "[]", is422, []string{""}},
		{"PATCH", "", `{"key_name":null}`, is422, []string{"/key_name"}},
		{"PATCH", "", `{"key_name":""}`, is422, []string{"/key_name"}},
		{"PATCH", "", `{"key_scope":null}`, is422, []string{"/key_scope"}},
		{"PATCH", "", `{"key_scope":[]}`, is422, []string{"/key_scope"}},
		{"PATCH", "", `{"key_scope":["X"]}`, is422, []string{"/key_scope/0"}},
		{"PATCH", "", `{"enabled":null}`, is422, []string{"/enabled"}},
		{"PATCH", "", `{"enabled":"false"}`, is422, []string{"/enabled"}},
		{"PATCH", "", `{"expires_at":0}`, is422, []string{"/expires_at"}},
		{"PATCH", "", `{"expires_at":"2001-01-01T00:00:00Z"}`, is422, []string{"/expires_at"}},
		{"PATCH", "", `{"metadata":[]}`, is422, []string{"/metadata"}},
		{"PATCH", "", `{"metadata":"{}"}`, is422, []string{"/metadata"}},
		{"PATCH", "", `{"metadata":` + hugeMetadata + `}`, is422, []string{"/metadata"}},
		{"PATCH", "", `{"metadata":{"a":1,"a":null}}`, is400, []string{"/metadata/a"}},
		{"PATCH", "", `{"organization_id":1}`, is400, []string{"/organization_id"}},
		{"PATCH", "", `{"user_id":1,"key_id":1}`, is400, []string{"/user_id", "/key_id"}},
		{"PATCH", "", `{"limits":null}`, is422, []string{"/limits"}},
		{"PATCH", "", `{"limits":{}}`, is422, []string{"/limits"}},
		{"PATCH", "", `{"limits":[{"requests":1,"window_seconds":1},{"requests":0,"window_seconds":1}]}`, is422, []string{"/limits/1/name", "/limits/1/requests"}},
		{"PATCH", "", `{"allowed_cidrs":null}`, is422, []string{"/allowed_cidrs"}},
		{"PATCH", "", `{"allowed_cidrs":["0.0.0.0/0","::/129"]}`, is422, []string{"/allowed_cidrs/1"}},
		{"PATCH", "", `{"quota":{}}`, is422, []string{"/quota/requests"}}, // it has none
		{"PATCH", "", `{"quota":{"period":"day"}}`, is422, []string{"/quota/requests"}},
		{"PATCH", "", `{"quota":{"requests":null}}`, is422, []string{"/quota/requests"}},
		{"PATCH", "", `{"quota":{"requests":-1,"period":"year"}}`, is422, []string{"/quota/requests", "/quota/period"}},
		{"PATCH", "", `{"quota":{"requests":5,"remaining":5}}`, is400, []string{"/quota/remaining"}},
		{"PATCH", "", `{"quota":[]}`, is422, []string{"/quota"}},
		{"PATCH", "", `{"key_name":"","limits":[1],"quota":{"requests":0},"allowed_cidrs":["x"]}`,
			is422, []string{"/key_name", "/limits/0", "/quota/requests", "/allowed_cidrs/0"}},
		{"PATCH", "", `{"key_name":"","key_scope":["X"],"enabled":1,"expires_at":"2001-01-01T00:00:00Z","metadata":1}`,
			is422, []string{"/key_name", "/key_scope/0", "/enabled", "/expires_at", "/metadata"}},
		{"POST", "/rotate", "null", is422, []string{""}},
		{"POST", "/rotate", "[]", is422, []string{""}},
		{"POST", "/rotate", `{"grace":1}`, is400, []string{"/grace"}},
		{"POST", "/rotate", `{"grace_seconds":1,"grace_seconds":1}`, is400, []string{"/grace_seconds"}},
		{"POST", "/rotate", `{"grace_seconds":null}`, is422, []string{"/grace_seconds"}},
		{"POST", "/rotate", `{"grace_seconds":"1"}`, is422, []string{"/grace_seconds"}},
		{"POST", "/rotate", `{"grace_seconds":-1}`, is422, []string{"/grace_seconds"}},
		{"POST", "/rotate", `{"grace_seconds":1.5}`, is422, []string{"/grace_seconds"}},
		{"POST", "/rotate", `{"grace_seconds":31536001}`, is422, []string{"/grace_seconds"}},
		{"POST", "/rotate", `{"grace_seconds":9223372036854775808}`, is422, []string{"/grace_seconds"}},
		{"POST", "/rotate", `{"grace_seconds":`, is400, nil},
	} {
		t.Run(c.method+" "+c.body[:min(len(c.body), 60)], func(t *testing.T) {
			k := k.in(t)
			path := fmt.Sprintf("/v1/api-keys/%d%s", k.first.KeyID, c.path)
			checkFaults(t, k.call(c.method, path, c.body, "Content-Type: application/json"), c.code, c.pointers)
		})
	}
	if got := k.verifies(k.token); got != api.VerifyValid {
		t.Errorf("after requests that failed the token is %s", got)
	}
	k.call("POST", "/v1/api-keys/1/rotate", `{"grace_seconds":31536000}`).ok(http.StatusOK)
}

func TestBadAddresses(t *testing.T) {
	k := newKit(t, nil)
	const path = "/v1/api-keys"
	for _, c := range []struct {
		path     string
		code     api.Code
		pointers []string
	}{
		{path + "/x", is400, []string{"/key_id"}},
		{path + "/1.0", is400, []string{"/key_id"}},
		{path + "/1e3", is400, []string{"/key_id"}},
		{path + "/01", is400, []string{"/key_id"}},
		{path + "/+1", is400, []string{"/key_id"}},
		{path + "/%201", is400, []string{"/key_id"}},
		{path + "/1%2Frotate", is400, []string{"/key_id"}},
		{path + "/1%00", is400, []string{"/key_id"}},
		{path + "/0x1", is400, []string{"/key_id"}},
		{path + "/-0", is400, []string{"/key_id"}},
		{path + "/1_000", is400, []string{"/key_id"}},
		{path + "/9223372036854775808", is400, []string{"/key_id"}},
		{path + "/" + strings.Repeat("9", 400), is400, []string{"/key_id"}},
		{path + "/%F0%9D%9F%8F", is400, []string{"/key_id"}},
		{path + "/0", api.CodeNotFound, nil},
		{path + "/-1", api.CodeNotFound, nil},
		{path + "/9223372036854775807", api.CodeNotFound, nil},
		{path + "/1?x=1", is400, []string{"/x"}},
		{path + "/x?x=1", is400, []string{"/key_id", "/x"}},
		{"/v1/me?x", is400, []string{"/x"}},

		{path + "?unknown=1", is400, []string{"/unknown"}},
		{path + "?Limit=1", is400, []string{"/Limit"}},
		{path + "?a=1&b=2&b=3", is400, []string{"/a", "/b"}},
		{path + "?limit=1&limit=1", is400, []string{"/limit"}},
		{path + "?q=a&q=a", is400, []string{"/q"}},
		{path + "?q=%zz", is400, nil},
		{path + "?limit=1;q=a", is400, nil},
		{path + "?limit=", is422, []string{"/limit"}},
		{path + "?limit", is422, []string{"/limit"}},
		{path + "?limit=0", is422, []string{"/limit"}},
		{path + "?limit=-1", is422, []string{"/limit"}},
		{path + "?limit=1001", is422, []string{"/limit"}},
		{path + "?limit=1.5", is422, []string{"/limit"}},
		{path + "?limit=010", is422, []string{"/limit"}},
		{path + "?limit=%2B10", is422, []string{"/limit"}},
		{path + "?limit=99999999999999999999", is422, []string{"/limit"}},
		{path + "?limit=ten", is422, []string{"/limit"}},
		{path + "?organization_id=0", is422, []string{"/organization_id"}},
		{path + "?organization_id=", is422, []string{"/organization_id"}},
		{path + "?organization_id=-1", is422, []string{"/organization_id"}},
		{path + "?organization_id=x", is422, []string{"/organization_id"}},
		{path + "?organization_id=9223372036854775808", is422, []string{"/organization_id"}},
		{path + "?organization_id=99", api.CodeNotFound, nil},
		{path + "?enabled=", is422, []string{"/enabled"}},
		{path + "?state=", is422, []string{"/state"}},
		{path + "?state=Active", is422, []string{"/state"}},
		{path + "?state=enabled", is422, []string{"/state"}},
		{path + "?enabled=1", is422, []string{"/enabled"}},
		{path + "?enabled=TRUE", is422, []string{"/enabled"}},
		{path + "?scope=", is422, []string{"/scope"}},
		{path + "?scope=read", is422, []string{"/scope"}},
		{path + "?scope=READ,CREATE", is422, []string{"/scope"}},
		{path + "?q=", is422, []string{"/q"}},
		{path + "?q=" + strings.Repeat("%C3%A9", 101), is422, []string{"/q"}},
		{path + "?q=%FF", is422, []string{"/q"}},
		{path + "?q=a%00", is422, []string{"/q"}},
		{path + "?cursor=", is400, []string{"/cursor"}},
		{path + "?cursor=17", is400, []string{"/cursor"}},
		{path + "?cursor=AQAAAAAAAAAC%3D", is400, []string{"/cursor"}},
		{path + "?cursor=AQAAAAAAAAAC%0A", is400, []string{"/cursor"}},
		{path + "?cursor=AgAAAAAAAAAC", is400, []string{"/cursor"}}, // of a version to come
		{path + "?cursor=AQAAAAAAAAAA", is400, []string{"/cursor"}}, // behind key 0
		{path + "?cursor=Af__________", is400, []string{"/cursor"}}, // behind key -1
		{path + "?cursor=" + strings.Repeat("A", 4000), is400, []string{"/cursor"}},
		{path + "?limit=0&enabled=2&scope=x&q=&organization_id=a", is422, []string{"/limit", "/enabled", "/scope", "/q", "/organization_id"}},
		{path + "?limit=0&cursor=x&y", is400, []string{"/limit", "/cursor", "/y"}},
	} {
		t.Run(c.path[:min(len(c.path), 60)], func(t *testing.T) {
			k := k.in(t)
			checkFaults(t, k.call("GET", c.path, ""), c.code, c.pointers)
		})
	}
	for _, query := range []string{"", "?limit=1", "?limit=1000", "?q=%20", "?q=" + strings.Repeat("%C3%A9", 100), "?enabled=false",
		"?scope=MANAGE", "?organization_id=1", "?cursor=" + encodeCursor(1)} {
		k.call("GET", path+query, "").ok(http.StatusOK)
	}
}
