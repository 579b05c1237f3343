package httpapi

import "testing"

func TestSmoke(t *testing.T) {
	k := newKit(t, nil)
	r := k.call("GET", "/v1/me", "")
	t.Log(r.status, r.header, r.body)
	r = k.call("POST", "/v1/api-keys", `{"key_name":"a","key_scope":["READ"],"organization_id":1,"metadata":{"a" : 1}}`)
	t.Log(r.status, r.header, r.body)
	r = k.call("GET", "/v1/api-keys?limit=1", "")
	t.Log(r.status, r.header, r.body)
	r = k.call("POST", "/v1/api-keys", `{"key_name":5,"key_scope":["READ","x"],"foo":1,"foo":2,"expires_at":"2001-01-01T00:00:00Z"}`)
	t.Log(r.status, r.header, r.body)
	r = k.ask("POST", "/v1/verify", `{"key":"`+k.token+`"}`)
	t.Log(r.status, r.header, r.body)
	r = k.ask("GET", "/readyz", ``)
	t.Log(r.status, r.header, r.body)
	t.Log(k.log)
}
