package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// customer is an organization with a member who holds two keys, as long as it goes well, and what must be true of the
// keys. A customer whose last change was not answered has keys of which either is true, but the same of both.
type customer struct {
	strong, weak api.CreatedKey // the one with CREATE, and the one without
	want         map[string]api.VerifyCode
	together     bool   // both keys were to meet the same fate
	doing        string // what was under way; "": nothing
}

// accountChanges are what becomes of a customer in the end, and of their keys: the strong one's code, and the weak one's.
var accountChanges = []struct {
	name         string
	do           func(ctx context.Context, root *client.Client, organizationID, userID int64) error
	strong, weak api.VerifyCode
}{
	{"demote", func(ctx context.Context, root *client.Client, organizationID, userID int64) error {
		_, err := root.UpdateMember(ctx, organizationID, userID, api.MemberPatch{Role: api.RoleViewer}, api.DeleteKeys)
		return err
	}, api.VerifyNotFound, api.VerifyValid},
	{"remove", func(ctx context.Context, root *client.Client, organizationID, userID int64) error {
		return root.RemoveMember(ctx, organizationID, userID, api.DeleteKeys)
	}, api.VerifyNotFound, api.VerifyNotFound},
	{"transfer", func(ctx context.Context, root *client.Client, organizationID, userID int64) error {
		return root.RemoveMember(ctx, organizationID, userID, api.TransferKeys)
	}, api.VerifyValid, api.VerifyValid},
	{"delete", func(ctx context.Context, root *client.Client, organizationID, _ int64) error {
		return root.DeleteOrganization(ctx, organizationID)
	}, api.VerifyNotFound, api.VerifyNotFound},
}

// live makes a customer and ends it in one of the ways. It returns what it knows when a call fails.
func (s *server) live(ctx context.Context, name string) (x customer, err error) {
	root := s.once(s.token)
	x = customer{want: map[string]api.VerifyCode{}, doing: "begin"}
	o, err := root.CreateOrganization(ctx, api.NewOrganization{OrganizationName: name, ExternalID: &name})
	if err != nil {
		return x, err
	}
	m, err := root.InviteMember(ctx, o.OrganizationID, api.NewMember{Email: name + "@example.com", Role: api.RoleMember})
	if err != nil {
		return x, err
	}
	_, session, err := root.SignInWithLink(ctx, linkSecret(s.t, m.SignInURL))
	if err != nil {
		return x, err
	}
	member, err := client.New(s.management, client.WithSession(session), client.WithHTTPClient(oneAtATime(s.t)),
		client.WithRetry(client.Retry{Attempts: 1}))
	if err != nil {
		return x, err
	}
	for _, k := range []struct {
		key    *api.CreatedKey
		scopes []api.Scope
	}{{&x.strong, []api.Scope{api.ScopeRead, api.ScopeCreate}}, {&x.weak, []api.Scope{api.ScopeRead}}} {
		*k.key, err = member.CreateKey(ctx, api.NewKey{KeyName: name, KeyScope: k.scopes, OrganizationID: o.OrganizationID})
		if err != nil {
			return x, err
		}
		x.want[k.key.Token] = api.VerifyValid
	}
	change := accountChanges[rand.IntN(len(accountChanges))]
	x.doing, x.together = change.name, change.strong == change.weak
	if change.strong != api.VerifyValid {
		delete(x.want, x.strong.Token)
	}
	if change.weak != api.VerifyValid {
		delete(x.want, x.weak.Token)
	}
	if err := change.do(ctx, root, o.OrganizationID, m.UserID); err != nil {
		return x, err
	}
	x.doing = ""
	x.want[x.strong.Token], x.want[x.weak.Token] = change.strong, change.weak
	return x, nil
}

// TestKillDuringAccountChanges kills a server while many accounts are made, people invited, demoted and removed, and
// organizations deleted. What was acknowledged is so, nothing is half done, and the audit log says what the tables say.
func TestKillDuringAccountChanges(t *testing.T) {
	t.Parallel()
	const rounds, workers = 5, 16
	folder := t.TempDir()
	s := serve(t, folder)
	token := s.token
	var underWay int
	for round := range rounds {
		var mu sync.Mutex
		var customers []customer
		var killed atomic.Bool
		var busy sync.WaitGroup
		enough := make(chan struct{}, workers*10000)
		for worker := range workers {
			busy.Go(func() {
				for i := 0; ; i++ {
					x, err := s.live(context.Background(), fmt.Sprintf("c%d-%d-%d", round, worker, i))
					mu.Lock()
					customers = append(customers, x)
					mu.Unlock()
					if err != nil {
						if !killed.Load() {
							t.Errorf("round %d: before the end: %v", round, err)
						}
						return
					}
					enough <- struct{}{}
				}
			})
		}
		for range 30 + rand.IntN(40) {
			select {
			case <-enough:
			case <-time.After(patience):
				t.Fatal("nothing goes on")
			}
		}
		killed.Store(true)
		s.kill()
		busy.Wait()

		auditIsWhole(t, folder)
		s = serve(t, folder)
		s.token = token
		for _, x := range customers {
			x.check(t, s)
			if x.doing != "" {
				underWay++
			}
		}
		auditIsWhole(t, folder)
	}
	if underWay < rounds {
		t.Error("hardly anything was under way when the server was killed")
	}
	s.stop()
	path := filepath.Join(folder, "apikeyd.db")
	inspect(t, path)
	tablesAreWhatTheLogSays(t, path)
}

// check asks about the customer's keys.
func (x *customer) check(t *testing.T, s *server) {
	t.Helper()
	code := func(token string) api.VerifyCode {
		a, err := s.verifier().Verify(t.Context(), api.VerifyRequest{Key: token})
		if err != nil {
			t.Fatal(err)
		}
		return a.Code
	}
	for token, want := range x.want {
		if got := code(token); got != want {
			t.Errorf("a key is %s after %q, want %s", got, x.doing, want)
		}
	}
	if x.together && code(x.strong.Token) != code(x.weak.Token) {
		t.Errorf("%s is half done", x.doing)
	}
}

// tablesAreWhatTheLogSays compares what there is in the file of a server that has ended with what the audit log says was
// made and not deleted.
func tablesAreWhatTheLogSays(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	logged := func(action string) string {
		return `SELECT target_id FROM audit_log WHERE outcome = 1 AND action = '` + action + `'`
	}
	organizations := logged("organization.create") + ` EXCEPT ` + logged("organization.delete")
	keys := logged("key.create") + ` AND organization_id IN (` + organizations + `) EXCEPT ` + logged("key.delete")
	members := `SELECT organization_id * 1000000 + target_id FROM audit_log WHERE outcome = 1 AND action = 'member.create' AND
		organization_id IN (` + organizations + `) EXCEPT
		SELECT organization_id * 1000000 + target_id FROM audit_log WHERE outcome = 1 AND action = 'member.delete'`
	users := logged("user.create") + ` EXCEPT ` + logged("user.delete")
	for name, table := range map[string][2]string{
		"organizations": {`SELECT organization_id FROM organizations`, organizations},
		"keys":          {`SELECT key_id FROM api_keys`, keys},
		"members":       {`SELECT organization_id * 1000000 + user_id FROM members`, members},
		"users":         {`SELECT user_id FROM users`, users},
	} {
		for what, query := range map[string]string{
			"there, and not in the log": table[0] + ` EXCEPT SELECT * FROM (` + table[1] + `)`,
			"in the log, and not there": `SELECT * FROM (` + table[1] + `) EXCEPT ` + table[0],
		} {
			var n int
			if err := db.QueryRow(`SELECT count(*) FROM (` + query + `)`).Scan(&n); err != nil || n > 0 {
				t.Errorf("%d %s are %s, %v", n, name, what, err)
			}
		}
		var there int
		if err := db.QueryRow(`SELECT count(*) FROM (` + table[0] + `)`).Scan(&there); err != nil || there < 1 {
			t.Errorf("there are %d %s, %v", there, name, err)
		}
	}
	for what, query := range map[string]string{
		"organizations without an owner": `SELECT count(*) FROM organizations o WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.organization_id = o.organization_id AND m.role = 4)`,
		"keys that their holder could not make": `SELECT count(*) FROM api_keys k JOIN users u USING (user_id) LEFT JOIN members m USING (organization_id, user_id)
			WHERE NOT u.instance_admin AND (m.role IS NULL OR m.role = 1 AND k.scopes <> 1)`,
	} {
		var n int
		if err := db.QueryRow(query).Scan(&n); err != nil || n > 0 {
			t.Errorf("there are %d %s, %v", n, what, err)
		}
	}
}
