package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/token"
)

const keysPath = "/v1/api-keys"

// keys are the handlers of /v1/api-keys.
type keys struct {
	admin *admin.Service
	now   func() time.Time
}

func (h *keys) routes() []route {
	const one = keysPath + "/{key_id}"
	return []route{
		{method: http.MethodGet, pattern: keysPath, writes: true, serve: endpoint(readKeyList, h.list)},
		{method: http.MethodPost, pattern: keysPath, writes: true, consumes: []string{typeJSON}, maxBody: maxBody,
			serve: endpoint(h.readDraft, h.create)},
		{method: http.MethodGet, pattern: one, writes: true, serve: endpoint(readID, h.get)},
		{method: http.MethodPatch, pattern: one, writes: true, consumes: []string{typeJSON, typeMergePatch}, maxBody: maxBody,
			serve: endpoint(h.readPatch, h.update)},
		{method: http.MethodDelete, pattern: one, serve: endpoint(readID, h.delete)},
		{method: http.MethodPost, pattern: one + "/rotate", writes: true, consumes: []string{typeJSON}, maxBody: maxBody,
			empty: true, serve: endpoint(readRotation, h.rotate)},
	}
}

// readID reads the id that stands in the path.
func readID(in *input) (int64, error) { return in.pathID(), nil }

// newKey is the body that creates a key.
var newKey = shape[key.Draft]{
	{name: "key_name", required: true, read: func(d *key.Draft, v value) { d.Name, _ = v.string() }},
	{name: "key_scope", required: true, read: func(d *key.Draft, v value) { d.Scopes, _ = v.scopes() }},
	{name: "organization_id", required: true, read: func(d *key.Draft, v value) { d.OrganizationID, _ = v.id() }},
	{name: "enabled", read: func(d *key.Draft, v value) { d.Enabled, _ = v.bool() }},
	{name: "expires_at", read: func(d *key.Draft, v value) {
		if !v.null() {
			d.ExpiresAt, _ = v.expiry()
		}
	}},
	{name: "metadata", read: func(d *key.Draft, v value) { d.Metadata, _ = v.object() }},
	{name: "limits", read: func(d *key.Draft, v value) { d.Limits = v.limits() }},
	{name: "quota", read: func(d *key.Draft, v value) { d.Quota = v.quota() }},
	{name: "allowed_cidrs", read: func(d *key.Draft, v value) { d.AllowedCIDRs = v.cidrs() }},
}

func (h *keys) readDraft(in *input) (key.Draft, error) {
	draft := key.Draft{Enabled: true}
	err := body(in, newKey, &draft)
	if err != nil || len(in.faults.list) == 0 {
		return draft, err
	}
	// The use case would find the rest of what is wrong; so that all of it is in one answer, it is asked for here.
	rules, err := h.admin.CheckDraft(in.x.r.Context(), in.x.caller, draft)
	in.faults.rules(rules)
	return draft, err
}

func (h *keys) create(ctx context.Context, c admin.Caller, draft key.Draft) (answer, error) {
	k, secret, err := h.admin.CreateKey(ctx, c, draft)
	return answer{status: http.StatusCreated, body: h.createdKey(&k, secret), location: itemPath(keysPath, k.ID)}, err
}

func (h *keys) get(ctx context.Context, c admin.Caller, id int64) (answer, error) {
	k, err := h.admin.Key(ctx, c, id)
	return answer{status: http.StatusOK, body: h.wireKey(&k)}, err
}

func (h *keys) delete(ctx context.Context, c admin.Caller, id int64) (answer, error) {
	return answer{status: http.StatusNoContent}, h.admin.DeleteKey(ctx, c, id)
}

// update is a PATCH: which key, and what is to be changed.
type update struct {
	id    int64
	patch key.Patch
}

// keyPatch is the body that changes a key: a JSON merge patch (RFC 7396).
var keyPatch = shape[key.Patch]{
	{name: "key_name", read: func(p *key.Patch, v value) { p.Name = optional(v.string()) }},
	{name: "key_scope", read: func(p *key.Patch, v value) { p.Scopes = optional(v.scopes()) }},
	{name: "enabled", read: func(p *key.Patch, v value) { p.Enabled = optional(v.bool()) }},
	{name: "expires_at", read: func(p *key.Patch, v value) {
		if v.null() {
			p.ExpiresAt = new(time.Time)
		} else {
			p.ExpiresAt = optional(v.expiry())
		}
	}},
	{name: "metadata", read: func(p *key.Patch, v value) { p.Metadata = v.metadataPatch() }},
	{name: "limits", read: func(p *key.Patch, v value) { p.Limits = optional(v.limits(), true) }},
	{name: "quota", read: func(p *key.Patch, v value) { p.Quota = v.quotaPatch() }},
	{name: "allowed_cidrs", read: func(p *key.Patch, v value) { p.AllowedCIDRs = optional(v.cidrs(), true) }},
}

func optional[T any](v T, ok bool) *T {
	if !ok {
		return nil
	}
	return &v
}

func (h *keys) readPatch(in *input) (update, error) {
	u := update{id: in.pathID()}
	err := body(in, keyPatch, &u.patch)
	if err == nil && len(in.faults.list) > 0 {
		in.faults.rules(u.patch.Check(h.now()))
	}
	return u, err
}

func (h *keys) update(ctx context.Context, c admin.Caller, u update) (answer, error) {
	k, err := h.admin.UpdateKey(ctx, c, u.id, u.patch)
	return answer{status: http.StatusOK, body: h.wireKey(&k)}, err
}

// rotation says which key gets a new token, and how long the old one lives on.
type rotation struct {
	id    int64
	grace time.Duration
}

var rotateRequest = shape[rotation]{
	{name: "grace_seconds", read: func(r *rotation, v value) {
		seconds, _ := v.integer(0, int64(key.MaxGrace/time.Second))
		r.grace = time.Duration(seconds) * time.Second
	}},
}

func readRotation(in *input) (rotation, error) {
	r := rotation{id: in.pathID()}
	return r, body(in, rotateRequest, &r)
}

func (h *keys) rotate(ctx context.Context, c admin.Caller, r rotation) (answer, error) {
	k, secret, err := h.admin.RotateKey(ctx, c, r.id, r.grace)
	return answer{status: http.StatusOK, body: h.createdKey(&k, secret)}, err
}

// wireKey is a key as it is sent.
func (h *keys) wireKey(k *key.Key) api.Key {
	return api.Key{
		KeyID:          k.ID,
		KeyName:        k.Name,
		KeyScope:       wireScopes(k.Scopes),
		OrganizationID: k.OrganizationID,
		UserID:         k.UserID,
		KeyHint:        k.Hint,
		Enabled:        k.Enabled,
		ExpiresAt:      wireTime(k.ExpiresAt),
		LastUsedAt:     wireTime(k.LastUsedAt),
		CreatedAt:      api.Time{Time: k.CreatedAt},
		UpdatedAt:      api.Time{Time: k.UpdatedAt},
		Metadata:       wireMetadata(k.Metadata),
		Limits:         wireLimits(k.Limits),
		Quota:          wireQuota(k, h.now()),
		AllowedCIDRs:   wireCIDRs(k.AllowedCIDRs),
	}
}

// createdKey is a key with its token: the one place where a token is revealed.
func (h *keys) createdKey(k *key.Key, secret token.Token) api.CreatedKey {
	return api.CreatedKey{Key: h.wireKey(k), Token: secret.Reveal()}
}

func wireScopes(set key.Scopes) []api.Scope {
	scopes := make([]api.Scope, 0, 5)
	for _, name := range set.Names() {
		scopes = append(scopes, api.Scope(name))
	}
	return scopes
}

func wireTime(t time.Time) *api.Time {
	if t.IsZero() {
		return nil
	}
	return &api.Time{Time: t}
}

func wireMetadata(object []byte) json.RawMessage {
	if object == nil {
		return json.RawMessage("{}")
	}
	return object
}
