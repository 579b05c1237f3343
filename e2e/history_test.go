package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/apikeyd/apikeyd/api"
)

// act is what a client does to a key, or asks about it.
type act string

const (
	creates  act = "create"
	enables  act = "enable"
	disables act = "disable"
	deletes  act = "delete"
	checks   act = "check"
)

// The states of a key are the answers to a check: NOT_FOUND before it is created and after it is deleted, which are told apart.
type keyState struct {
	code    api.VerifyCode
	deleted bool
}

// result is how an act came out.
type result struct {
	unknown bool           // it may have been done at any time after the call, or never
	gone    bool           // the server says that there is no such key
	code    api.VerifyCode // of a check
}

// register is what one key is, as if there were one server that does one thing after the other.
//
// It is held against what was seen through each node alone, with all changes. A change takes effect on each node at some moment
// between its call and its answer, but not on all of them at the same: as long as it is not answered, one node may know of it
// and another one may not. Once it is answered, all do.
var register = porcupine.Model{
	Partition: perNode,
	Init:      func() any { return keyState{code: api.VerifyNotFound} },
	Step: func(state, input, output any) (bool, any) {
		return step(state.(keyState), input.(act), output.(result))
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%s: %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

// perNode returns all changes, and for each node those that were answered with success and what it has answered to checks. That there
// is no such key promises nothing about nodes: somebody else may be about to delete it, and not be answered yet.
func perNode(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
	nodes := map[int]bool{}
	for _, op := range ops {
		if op.Input == checks {
			nodes[op.ClientId] = true
		}
	}
	parts = append(parts, slices.DeleteFunc(slices.Clone(ops), func(op porcupine.Operation) bool { return op.Input == checks }))
	for n := range nodes {
		parts = append(parts, slices.DeleteFunc(slices.Clone(ops), func(op porcupine.Operation) bool {
			if op.Input == checks {
				return op.ClientId != n
			}
			return op.Output.(result).gone
		}))
	}
	return parts
}

// changer is the client that creates a key, and changer-1 and so on are others who change it at the same time; those above check
// it, each on a node of its own.
const changer = 0

func step(s keyState, a act, r result) (possible bool, next keyState) {
	there := s.code != api.VerifyNotFound
	switch {
	case a == checks:
		return r.code == s.code, s
	case a == creates:
		return !there && !s.deleted, keyState{code: api.VerifyValid}
	case r.gone:
		return !there, s
	case !there: // of what is not known to have been done, it may be that it was not
		return r.unknown, s
	}
	switch a {
	case enables:
		s.code = api.VerifyValid
	case disables:
		s.code = api.VerifyDisabled
	case deletes:
		s = keyState{code: api.VerifyNotFound, deleted: true}
	}
	return true, s
}

// history is what clients have done to one key and were told about it.
type history struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// record does something and notes when it was begun and ended, and how it came out. do returns false where it is certain that
// nothing was done and nothing was learned.
func (h *history) record(client int, a act, do func() (result, bool)) (r result, known bool) {
	called := time.Since(h.began)
	r, ok := do()
	returned := int64(time.Since(h.began))
	if !ok {
		return r, false
	}
	if r.unknown {
		returned = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: a, Call: int64(called), Output: r, Return: returned})
	return r, !r.unknown
}

// check holds the history against the register.
func (h *history) check() porcupine.CheckResult {
	h.mu.Lock()
	defer h.mu.Unlock()
	return porcupine.CheckOperationsTimeout(register, h.ops, patience)
}

// String lists the history but for the checks that were answered like the one before.
func (h *history) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	last := map[int]result{}
	for _, op := range h.ops { // in the order in which they ended
		r := op.Output.(result)
		if before, ok := last[op.ClientId]; ok && op.Input == checks && before == r {
			continue
		}
		if last[op.ClientId] = r; op.Input != checks {
			delete(last, op.ClientId)
		}
		ended := "never"
		if op.Return != math.MaxInt64 {
			ended = time.Duration(op.Return).String()
		}
		fmt.Fprintf(&b, "client %d: %s from %v to %s: %+v\n", op.ClientId, op.Input, time.Duration(op.Call), ended, r)
	}
	return b.String()
}

// outcomeOf sorts the errors of the management API. known is false where nothing was done: only a 503 of the server's own says so,
// or a connection that was not made.
func outcomeOf(t testing.TB, err error) (r result, known bool) {
	var refused *api.Error
	switch {
	case err == nil:
		return result{}, true
	case errors.Is(err, api.ErrNotFound):
		return result{gone: true}, true
	case errors.Is(err, api.ErrUnavailable):
		return result{}, false
	case errors.As(err, &refused) && !errors.Is(err, api.ErrInternal):
		t.Errorf("a client was refused: %v", err)
		return result{}, false
	}
	return result{unknown: true}, true // no answer, or one that says that nobody knows
}

// TestTheRegister holds histories of which it is known what they are against the register.
func TestTheRegister(t *testing.T) {
	t.Parallel()
	ok, gone, unknown := result{}, result{gone: true}, result{unknown: true}
	valid, disabled, absent := result{code: api.VerifyValid}, result{code: api.VerifyDisabled}, result{code: api.VerifyNotFound}
	type op struct {
		act        act
		result     result
		from, till int64
		node       int // 0: the first
	}
	const never = math.MaxInt64
	const elsewhere = 2 // where the second node is asked
	for _, test := range []struct {
		name string
		ops  []op
		want porcupine.CheckResult
	}{
		{"two at once, in either order", []op{{creates, ok, 0, 1, 0}, {disables, ok, 2, 8, 0}, {enables, ok, 3, 9, 0}, {checks, disabled, 4, 5, 0},
			{checks, disabled, 10, 11, 0}}, porcupine.Ok},
		{"two at once, in both orders", []op{{creates, ok, 0, 1, 0}, {disables, ok, 2, 8, 0}, {enables, ok, 3, 9, 0}, {checks, disabled, 4, 5, 0},
			{checks, valid, 6, 7, 0}, {checks, disabled, 10, 11, 0}}, porcupine.Illegal},
		{"deleted by two at once", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 8, 0}, {deletes, ok, 3, 9, 0}}, porcupine.Illegal},
		{"gone for one while the other deletes", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 9, 0}, {disables, gone, 3, 4, 0}, {checks, valid, 5, 6, 0},
			{checks, absent, 10, 11, 0}}, porcupine.Ok},
		{"enabled after it was gone", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 9, 0}, {disables, gone, 3, 4, 0}, {enables, ok, 5, 6, 0}}, porcupine.Illegal},
		{"a life", []op{{creates, ok, 0, 1, 0}, {checks, valid, 2, 3, 0}, {disables, ok, 4, 5, 0}, {checks, disabled, 6, 7, 0}, {enables, ok, 8, 9, 0},
			{checks, valid, 10, 11, 0}, {deletes, ok, 12, 13, 0}, {checks, absent, 14, 15, 0}, {deletes, gone, 16, 17, 0}}, porcupine.Ok},
		{"valid after the delete", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 3, 0}, {checks, valid, 4, 5, 0}}, porcupine.Illegal},
		{"valid while it is deleted", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 5, 0}, {checks, valid, 4, 6, 0}}, porcupine.Ok},
		{"valid again while it is deleted", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 9, 0}, {checks, absent, 3, 4, 0}, {checks, valid, 5, 6, 0}},
			porcupine.Illegal},
		{"disabled after it was enabled", []op{{creates, ok, 0, 1, 0}, {disables, ok, 2, 3, 0}, {enables, ok, 4, 5, 0}, {checks, disabled, 6, 7, 0}},
			porcupine.Illegal},
		{"a delete of unknown outcome that was done late", []op{{creates, ok, 0, 1, 0}, {deletes, unknown, 2, never, 0}, {checks, valid, 4, 5, 0},
			{checks, absent, 6, 7, 0}}, porcupine.Ok},
		{"a delete of unknown outcome that was never done", []op{{creates, ok, 0, 1, 0}, {deletes, unknown, 2, never, 0}, {checks, valid, 4, 5, 0}},
			porcupine.Ok},
		{"a delete of unknown outcome that was undone", []op{{creates, ok, 0, 1, 0}, {deletes, unknown, 2, never, 0}, {checks, absent, 4, 5, 0},
			{checks, valid, 6, 7, 0}}, porcupine.Illegal},
		{"one node knows before the other, before the answer", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 9, 0}, {checks, absent, 3, 4, 0},
			{checks, valid, 5, 6, elsewhere}, {checks, absent, 7, 8, elsewhere}}, porcupine.Ok},
		{"one node knows before the other, after the answer", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 5, 0}, {checks, absent, 3, 4, 0},
			{checks, valid, 6, 7, elsewhere}}, porcupine.Illegal},
		{"deleted twice", []op{{creates, ok, 0, 1, 0}, {deletes, ok, 2, 3, 0}, {deletes, ok, 4, 5, 0}}, porcupine.Illegal},
		{"gone without a delete", []op{{creates, ok, 0, 1, 0}, {disables, gone, 2, 3, 0}}, porcupine.Illegal},
		{"not there after the create", []op{{creates, ok, 0, 1, 0}, {checks, absent, 2, 3, 0}}, porcupine.Illegal},
	} {
		h := new(history)
		for _, o := range test.ops {
			client := changer
			if o.act == checks {
				client = max(1, o.node)
			}
			h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: o.act, Call: o.from, Output: o.result, Return: o.till})
		}
		if got := h.check(); got != test.want {
			t.Errorf("%s: %s, want %s\n%s", test.name, got, test.want, h)
		}
	}
}

// keyOps does what clients do to a key through any node.
type keyOps struct {
	t       testing.TB
	cluster *cluster
	key     api.CreatedKey
}

// opLimit is how long an act may take. It is longer than a lease, and shorter than some nodes are frozen.
const opLimit = 5 * time.Second

func (k *keyOps) change(ctx context.Context, n *node, a act) (result, bool) {
	ctx, cancel := context.WithTimeout(ctx, opLimit)
	defer cancel()
	c := k.cluster.client(n)
	defer c.CloseIdleConnections()
	var err error
	switch a {
	case enables:
		_, err = c.UpdateKey(ctx, k.key.KeyID, api.KeyPatch{Enabled: new(true)})
	case disables:
		_, err = c.UpdateKey(ctx, k.key.KeyID, api.KeyPatch{Enabled: new(false)})
	case deletes:
		err = c.DeleteKey(ctx, k.key.KeyID)
	}
	return outcomeOf(k.t, err)
}
