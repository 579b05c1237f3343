package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

func ExampleNew() {
	c, err := client.New("https://keys.example.com", client.WithAPIKey(os.Getenv("APIKEYD_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	created, err := c.CreateKey(context.Background(), api.NewKey{
		KeyName:        "Backend API Key",
		KeyScope:       []api.Scope{api.ScopeRead, api.ScopeCreate},
		OrganizationID: 432,
		ExpiresAt:      &api.Time{Time: time.Now().AddDate(0, 3, 0)},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(created.Token) // shown this once
}

func ExampleClient_AllKeys() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(server.URL, client.WithAPIKey("ak_example"))
	if err != nil {
		log.Fatal(err)
	}

	for key, err := range c.AllKeys(context.Background(), client.ListOptions{OrganizationID: 432}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(key.KeyID, key.KeyName, key.KeyScope)
	}
	// Output:
	// 18 Reports [READ]
	// 17 Backend API Key [READ CREATE]
}

func ExampleClient_GetKey() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(server.URL, client.WithAPIKey("ak_example"))
	if err != nil {
		log.Fatal(err)
	}

	_, err = c.GetKey(context.Background(), 99)
	if errors.Is(err, api.ErrNotFound) {
		fmt.Println("no such key")
	}
	// Output:
	// no such key
}

func ExampleClient_UpdateKey() {
	c, err := client.New("https://keys.example.com", client.WithAPIKey(os.Getenv("APIKEYD_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	// Disable the key, let it never expire, and remove one member of its metadata. The rest stays.
	_, err = c.UpdateKey(context.Background(), 17, api.KeyPatch{
		Enabled:   new(false),
		ExpiresAt: api.Null[api.Time](),
		Metadata:  json.RawMessage(`{"team": null}`),
	})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleClient_SignIn() {
	const server = "https://keys.example.com"
	c, err := client.New(server)
	if err != nil {
		log.Fatal(err)
	}
	session, secret, err := c.SignIn(context.Background(), "ada@example.com", os.Getenv("PASSWORD"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("signed in until", session.ExpiresAt)

	me, err := client.New(server, client.WithSession(secret))
	if err != nil {
		log.Fatal(err)
	}
	defer me.SignOut(context.Background())
	// An organization for one of the company's own customers, and what it is called there.
	_, err = me.CreateOrganization(context.Background(), api.NewOrganization{OrganizationName: "Acme", ExternalID: new("customer-9")})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleClient_RemoveMember() {
	c, err := client.New("https://keys.example.com", client.WithAPIKey(os.Getenv("APIKEYD_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	err = c.RemoveMember(context.Background(), 432, 3, "")
	if problem, ok := errors.AsType[*api.Error](err); ok && problem.Code == api.CodeKeysRemain {
		fmt.Println("what is to become of the keys", problem.KeyIDs)
		err = c.RemoveMember(context.Background(), 432, 3, api.TransferKeys) // to the caller
	}
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleVerifier_Verify() {
	server := exampleServer()
	defer server.Close()
	v, err := client.NewVerifier(server.URL)
	if err != nil {
		log.Fatal(err)
	}

	mayRead := func(token string) {
		answer, err := v.Verify(context.Background(), api.VerifyRequest{Key: token, Scope: api.ScopeRead})
		switch {
		case err != nil:
			fmt.Println("cannot say:", err) // answer 503: nobody knows
		case !answer.Valid:
			fmt.Println("no:", answer.Code) // answer 401 or 403
		default:
			fmt.Println("yes: organization", answer.OrganizationID)
		}
	}
	mayRead("ak_good")
	mayRead("ak_deleted")
	// Output:
	// yes: organization 432
	// no: NOT_FOUND
}

func ExampleNewVerifier_unixSocket() {
	v, err := client.NewVerifier("unix:/run/apikeyd/verify.sock")
	if err != nil {
		log.Fatal(err)
	}
	answer, err := v.Verify(context.Background(), api.VerifyRequest{Key: "ak_…"})
	fmt.Println(answer.Valid, err)
}

// exampleServer answers as apikeyd does, for the examples that run.
func exampleServer() *httptest.Server {
	const keys = `[
		{"key_id": 18, "key_name": "Reports", "key_scope": ["READ"], "organization_id": 432},
		{"key_id": 17, "key_name": "Backend API Key", "key_scope": ["READ", "CREATE"], "organization_id": 432}
	]`
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q api.VerifyRequest
		switch {
		case r.URL.Path == "/v1/api-keys":
			reply(w, 200, keys)
		case r.URL.Path == "/v1/verify" && json.NewDecoder(r.Body).Decode(&q) == nil && strings.HasSuffix(q.Key, "good"):
			reply(w, 200, `{"valid": true, "code": "VALID", "key_id": 17, "organization_id": 432}`)
		case r.URL.Path == "/v1/verify":
			reply(w, 200, `{"valid": false, "code": "NOT_FOUND"}`)
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(404)
			fmt.Fprint(w, `{"status": 404, "code": "not_found", "detail": "there is no such key"}`)
		}
	}))
}
