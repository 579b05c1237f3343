package client_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

func TestVerify(t *testing.T) {
	s := play(t, ok(200, validJSON))
	a, err := s.verifier().Verify(t.Context(), api.VerifyRequest{
		Key: other, Scope: api.ScopeRead, OrganizationID: 432, IP: "203.0.113.9",
	})
	if err != nil || !a.Valid || a.Code != api.VerifyValid || a.KeyID != 17 || a.OrganizationID != 432 || a.UserID != 3 {
		t.Errorf("got %+v, %v", a, err)
	}
	got := s.sent[0]
	want := `{"key":"` + other + `","scope":"READ","organization_id":432,"ip":"203.0.113.9"}`
	if got.method+" "+got.uri != "POST /v1/verify" || got.body != want {
		t.Errorf("sent %s %s %s", got.method, got.uri, got.body)
	}
	if got.header.Get("Authorization") != "Bearer sesame-sesame" {
		t.Errorf("sent Authorization %q", got.header.Get("Authorization"))
	}
}

// TestVerifyFailsClosed: whoever forgets to look at the error lets nobody in.
func TestVerifyFailsClosed(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer step
		err    bool
		code   api.VerifyCode
	}{
		{"not found", ok(200, `{"valid":false,"code":"NOT_FOUND"}`), false, "NOT_FOUND"},
		{"disabled", ok(200, strings.NewReplacer(`true`, `false`, `"VALID"`, `"DISABLED"`).Replace(validJSON)), false, "DISABLED"},
		{"a reason from a newer server", ok(200, `{"valid":false,"code":"IP_NOT_ALLOWED"}`), false, "IP_NOT_ALLOWED"},
		{"nothing", ok(200, `{}`), true, ""},
		{"null", ok(200, `null`), true, ""},
		{"valid without a code", ok(200, `{"valid":true,"key_id":17}`), true, ""},
		{"valid against its code", ok(200, `{"valid":true,"code":"DISABLED","key_id":17}`), true, ""},
		{"valid with an unknown code", ok(200, `{"valid":true,"code":"FINE","key_id":17}`), true, ""},
		{"not valid against its code", ok(200, `{"valid":false,"code":"VALID","key_id":17}`), true, ""},
		{"valid, but who is it", ok(200, `{"valid":true,"code":"VALID"}`), true, ""},
		{"valid, then cut off", ok(200, validJSON[:len(validJSON)-1]), true, ""},
		{"valid, then of the wrong type", ok(200, strings.Replace(validJSON, `"user_id":3`, `"user_id":"3"`, 1)), true, ""},
		{"valid, with another status", ok(203, validJSON), true, ""},
		{"valid, in a refusal", ok(401, validJSON), true, ""},
		{"valid, as text", step{status: 200, header: header("Content-Type", "text/plain"), body: validJSON}, true, ""},
		{"unauthenticated", problem(api.CodeUnauthenticated), true, ""},
		{"unavailable", problem(api.CodeUnavailable), true, ""},
		{"broken off", brokenOff, true, ""},
	} {
		a, err := play(t, row.answer).verifier(once).Verify(t.Context(), api.VerifyRequest{Key: other})
		if a.Valid || (err != nil) != row.err || a.Code != row.code {
			t.Errorf("%s: got %+v, %v", row.name, a, err)
		}
		if err != nil && (a.KeyID != 0 || a.KeyScope != nil) {
			t.Errorf("%s: an answer came with the error: %+v", row.name, a)
		}
		batch := row.answer
		batch.body = `{"results":[` + validJSON + `,` + row.answer.body + `]}`
		all, err := play(t, batch).verifier(once).VerifyBatch(t.Context(), make([]api.VerifyRequest, 2))
		if len(all) != 2 || all[1].Valid || (err != nil) != row.err || err != nil && all[0].Valid {
			t.Errorf("%s, in a batch: got %+v, %v", row.name, all, err)
		}
	}
}

func TestVerifyBatch(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var batch api.VerifyBatch
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil || r.URL.Path != "/v1/verify/batch" {
			t.Errorf("got %s, %v", r.URL.Path, err)
		}
		mu.Lock()
		bodies = append(bodies, fmt.Sprint(len(batch.Requests), batch.Requests == nil))
		mu.Unlock()
		result := api.VerifyBatchResult{Results: []api.Verification{}}
		for _, q := range batch.Requests {
			result.Results = append(result.Results, api.Verification{Code: api.VerifyExpired, KeyName: q.Key})
		}
		b, err := json.Marshal(result)
		if err != nil {
			t.Error(err)
		}
		reply(w, 200, string(b))
	}))
	defer server.Close()
	v, err := client.NewVerifier(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer v.CloseIdleConnections()
	for _, n := range []int{0, 1, api.MaxBatch} {
		questions := make([]api.VerifyRequest, n)
		for i := range questions {
			questions[i].Key = fmt.Sprintf("%s%04d", other, i)
		}
		answers, err := v.VerifyBatch(t.Context(), questions)
		if err != nil || len(answers) != n {
			t.Fatalf("%d: got %d answers, %v", n, len(answers), err)
		}
		for i, a := range answers {
			if a.KeyName != questions[i].Key {
				t.Errorf("answer %d is to another question", i)
			}
		}
	}
	if _, err := v.VerifyBatch(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(bodies) != "[0 false 1 false 1000 false 0 false]" {
		t.Errorf("the server saw %v", bodies)
	}

	short := play(t, ok(200, `{"results":[`+validJSON+`]}`))
	if all, err := short.verifier().VerifyBatch(t.Context(), make([]api.VerifyRequest, 2)); err == nil || len(all) != 2 || all[0].Valid {
		t.Errorf("fewer results than questions: %+v, %v", all, err)
	}
}

func TestVerifyOverAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verify.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "localhost" || r.URL.Path != "/v1/verify" {
				t.Errorf("asked %s for %s", r.Host, r.URL)
			}
			reply(w, 200, validJSON)
		})}}
	server.Start()
	defer server.Close()
	v, err := client.NewVerifier("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.CloseIdleConnections()
	for range 2 {
		if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: other}); err != nil || !a.Valid {
			t.Errorf("got %+v, %v", a, err)
		}
	}

	gone, err := client.NewVerifier("unix:"+path+".gone", once)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Verify(t.Context(), api.VerifyRequest{Key: other}); err == nil || !strings.Contains(err.Error(), path+".gone") {
		t.Errorf("got %v", err)
	}
}

// Many goroutines share one verifier and its connections.
func TestVerifierIsSafeForManyGoroutines(t *testing.T) {
	var mu sync.Mutex
	connections := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		reply(w, 200, validJSON)
	}))
	defer server.Close()
	v, err := client.NewVerifier(server.URL, client.WithVerifyToken(verifyToken))
	if err != nil {
		t.Fatal(err)
	}
	defer v.CloseIdleConnections()
	const workers, each = 16, 50
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: other}); err != nil || !a.Valid {
					t.Errorf("got %+v, %v", a, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(connections); n > 2*workers {
		t.Errorf("%d connections for %d workers: they are not kept", n, workers)
	}
}
