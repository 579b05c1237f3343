package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
)

// change is something after which a token is no longer good for what it was.
type change struct {
	name string
	// scope is what is asked for.
	scope api.Scope
	// make makes the change and returns when it is acknowledged.
	make func(ctx context.Context, c *client.Client, keyID int64) error
	want api.VerifyCode
}

var changes = []change{
	{"delete", "", func(ctx context.Context, c *client.Client, id int64) error { return c.DeleteKey(ctx, id) }, api.VerifyNotFound},
	{"disable", "", func(ctx context.Context, c *client.Client, id int64) error {
		_, err := c.UpdateKey(ctx, id, api.KeyPatch{Enabled: new(false)})
		return err
	}, api.VerifyDisabled},
	{"narrow", api.ScopeCreate, func(ctx context.Context, c *client.Client, id int64) error {
		_, err := c.UpdateKey(ctx, id, api.KeyPatch{KeyScope: []api.Scope{api.ScopeRead}})
		return err
	}, api.VerifyInsufficientScope},
	{"rotate without grace", "", func(ctx context.Context, c *client.Client, id int64) error {
		_, err := c.RotateKey(ctx, id, 0)
		return err
	}, api.VerifyNotFound},
}

// TestADeadKeyIsDead is the first promise, through HTTP: eight clients ask about one token all the time, and from the
// moment that a change is acknowledged, no check that begins says that the token is good. In every other round nobody
// has asked before, so that the change meets the first look-ups and not the cache.
func TestADeadKeyIsDead(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, nil)
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			endAll(t, s, c, 80)
		})
	}
}

// TestADeadKeyIsDeadInASmallCache does the same where keys are thrown out of the cache and looked up again all the time,
// so that there are look-ups in the middle of every commit.
func TestADeadKeyIsDeadInASmallCache(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) { c.CacheSize = 32 << 10 }}) // less than two keys a shard
	const crowd = 400
	questions := make([]api.VerifyRequest, crowd)
	var made sync.WaitGroup
	for i := range crowd {
		made.Go(func() {
			k, err := s.Client().CreateKey(t.Context(), api.NewKey{KeyName: "other", KeyScope: []api.Scope{"READ"},
				OrganizationID: s.First.OrganizationID})
			if err != nil {
				t.Error(err)
			}
			questions[i].Key = k.Token
		})
	}
	made.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	made.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.Verifier().VerifyBatch(ctx, questions); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	for _, c := range changes {
		endAll(t, s, c, 20)
	}
	cancel()
	made.Wait()
}

// endAll makes keys, has eight clients ask about each, and makes the change.
func endAll(t *testing.T, s *apptest.Server, c change, rounds int) {
	t.Helper()
	for round := range rounds {
		created, err := s.Client().CreateKey(t.Context(), api.NewKey{KeyName: c.name, KeyScope: []api.Scope{"READ", "CREATE"},
			OrganizationID: s.First.OrganizationID})
		if err != nil {
			t.Fatal(err)
		}
		h := hammer(t, s.VerificationURL, created.Token, c.scope)
		if round%2 == 0 {
			h.everyoneHasAsked()
		}
		err = c.make(t.Context(), s.Client(), created.KeyID)
		h.over.Store(true)
		if err != nil {
			t.Error(err)
		}
		h.everyoneHasAsked()
		h.stop()
		if h.before.Load() == 0 && round%2 == 0 {
			t.Error("nobody has seen the token good")
		}
		if got := h.afterwards(); got != fmt.Sprintf("[%s]", c.want) {
			t.Fatalf("round %d: after the %s checks say %s, want %s", round, c.name, got, c.want)
		}
	}
}

// TestExpiryIsSharp moves the clock past the end of a key, and past the grace of an old token.
func TestExpiryIsSharp(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s := apptest.Start(t, &apptest.Options{Now: now})
	const rounds = 20
	for round := range rounds {
		ends := now().Add(time.Hour)
		created, err := s.Client().CreateKey(t.Context(), api.NewKey{KeyName: "ends", KeyScope: []api.Scope{"READ"},
			OrganizationID: s.First.OrganizationID})
		if err != nil {
			t.Fatal(err)
		}
		want := api.VerifyExpired
		if round%2 == 0 {
			_, err = s.Client().UpdateKey(t.Context(), created.KeyID, api.KeyPatch{ExpiresAt: api.Value(api.Time{Time: ends})})
		} else {
			_, err = s.Client().RotateKey(t.Context(), created.KeyID, time.Hour)
			want = api.VerifyNotFound
		}
		if err != nil {
			t.Fatal(err)
		}
		h := hammer(t, s.VerificationURL, created.Token, "")
		h.everyoneHasAsked()
		ahead.Add(int64(61 * time.Minute))
		h.over.Store(true)
		h.everyoneHasAsked()
		h.stop()
		if got := h.afterwards(); got != fmt.Sprintf("[%s]", want) {
			t.Fatalf("round %d: after the end checks say %s, want %s", round, got, want)
		}
		if h.before.Load() == 0 {
			t.Error("nobody has seen the token good")
		}
	}
}

// hammering is eight clients who ask about one token as fast as they can.
type hammering struct {
	t      *testing.T
	over   atomic.Bool  // the change is acknowledged
	before atomic.Int64 // how often the token was good until then
	asked  [8]atomic.Int64
	codes  sync.Map // the answers to checks that began afterwards
	stop   func()
}

func hammer(t *testing.T, address, token string, scope api.Scope) *hammering {
	t.Helper()
	h := &hammering{t: t}
	done := make(chan struct{})
	var asking sync.WaitGroup
	body := fmt.Sprintf(`{"key":%q}`, token)
	if scope != "" {
		body = fmt.Sprintf(`{"key":%q,"scope":%q}`, token, scope)
	}
	for i := range h.asked {
		a := newAsker(t, address, body)
		asking.Go(func() {
			defer a.conn.Close()
			for {
				select {
				case <-done:
					return
				default:
				}
				over := h.over.Load() // before the check begins
				code, err := a.ask()
				switch {
				case err != nil:
					t.Error(err)
					return
				case over:
					h.codes.Store(code, true)
				case code == api.VerifyValid:
					h.before.Add(1)
				}
				h.asked[i].Add(1)
			}
		})
	}
	h.stop = sync.OnceFunc(func() {
		close(done)
		asking.Wait()
	})
	t.Cleanup(h.stop)
	return h
}

// asker makes checks on a connection of its own. The usual clients take several times as long as the server.
type asker struct {
	conn    net.Conn
	r       *bufio.Reader
	request string
}

func newAsker(t *testing.T, address, body string) *asker {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &asker{conn, bufio.NewReader(conn), fmt.Sprintf(
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)}
}

func (a *asker) ask() (api.VerifyCode, error) {
	if _, err := io.WriteString(a.conn, a.request); err != nil {
		return "", err
	}
	return a.answer()
}

// answer reads the answer to a check.
func (a *asker) answer() (api.VerifyCode, error) {
	resp, err := http.ReadResponse(a.r, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s, %w", resp.Status, text, err)
	}
	_, rest, _ := strings.Cut(string(text), `"code":"`)
	code, _, ok := strings.Cut(rest, `"`)
	if valid := strings.HasPrefix(string(text), `{"valid":true,`); !ok || valid != (code == string(api.VerifyValid)) {
		return "", fmt.Errorf("answer %s", text)
	}
	return api.VerifyCode(code), nil
}

// everyoneHasAsked waits until each of them has made two more checks, of which the second has begun after the call.
func (h *hammering) everyoneHasAsked() {
	h.t.Helper()
	var until [len(h.asked)]int64
	for i := range h.asked {
		until[i] = h.asked[i].Load() + 2
	}
	deadline := time.Now().Add(patience)
	for i := range h.asked {
		for h.asked[i].Load() < until[i] {
			if time.Now().After(deadline) {
				h.t.Fatal("the checks do not go on")
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// afterwards returns the different answers to checks that began after the change was acknowledged.
func (h *hammering) afterwards() string {
	var codes []api.VerifyCode
	h.codes.Range(func(code, _ any) bool {
		codes = append(codes, code.(api.VerifyCode))
		return true
	})
	return fmt.Sprint(codes)
}
