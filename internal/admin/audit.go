package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// record is what a use case leaves in the audit log: the entry of the action itself, and those of what it brought about
// beside.
type record struct {
	audit.Entry
	also []audit.Entry
}

// add adds an entry for something that the action brought about beside: like the action's own, but for what it is about.
func (r *record) add(action audit.Action, target audit.Target, before, after []byte) {
	e := r.Entry
	e.Action, e.Target, e.Before, e.After = action, target, before, after
	r.also = append(r.also, e)
}

// nothing says that the action has changed nothing, so that there is nothing to record.
func (r *record) nothing() { r.Outcome = 0 }

// entry returns the record of an action as far as it is known before it begins.
func (s *Service) entry(c Caller, a action, target audit.Target) record {
	return record{Entry: audit.Entry{
		OccurredAt: s.now(),
		Actor:      audit.Actor{UserID: c.UserID, KeyID: c.KeyID, SessionID: c.SessionID},
		Action:     a.name,
		Target:     target,
		IP:         c.IP,
		RequestID:  c.RequestID,
		Outcome:    audit.Success,
	}}
}

// change runs a use case that changes something, in one transaction with its record. Where it is refused, that is recorded
// in one of its own, and where that fails the caller learns that first: nobody is refused behind the log's back.
func (s *Service) change(ctx context.Context, c Caller, a action, target audit.Target, do func(store.Tx, *record) error) error {
	var r record
	err := s.update(ctx, func(tx store.Tx) error {
		r = s.entry(c, a, target)
		if err := s.once(ctx, tx, c, &r, do); err != nil {
			return err
		}
		if r.Outcome != 0 {
			tx.Record(r.Entry)
		}
		for _, e := range r.also {
			tx.Record(e)
		}
		return nil
	})
	return s.recordRefusal(ctx, r.Entry, err)
}

// look runs a use case that changes nothing. It is recorded where it is refused.
func (s *Service) look(ctx context.Context, c Caller, a action, target audit.Target, do func(view, *record) error) error {
	r := s.entry(c, a, target)
	err := wrap(do(s.store, &r))
	return s.recordRefusal(ctx, r.Entry, err)
}

// refusals are the codes of errors that say no to somebody who might have been allowed.
var refusals = []key.Code{key.Unauthenticated, key.InsufficientScope, key.Forbidden, key.NotFound, key.Conflict, key.KeysRemain}

// recordRefusal returns err, after it has recorded a refusal.
//
// The cause of an error counts, too: bad input may be that somebody has named what they must not see.
//
// That something does not exist is recorded like that it must not be seen: a caller who measures the time must not be able
// to tell the two apart.
func (s *Service) recordRefusal(ctx context.Context, e audit.Entry, err error) error {
	refused := slices.IndexFunc(refusals, func(code key.Code) bool { return errors.Is(err, &key.Error{Code: code}) })
	if refused < 0 {
		return err
	}
	e.Outcome, e.Code, e.Before, e.After = audit.Refused, string(refusals[refused]), nil, nil
	// Whoever hangs up is recorded all the same.
	if failed := s.update(context.WithoutCancel(ctx), func(tx store.Tx) error { tx.Record(e); return nil }); failed != nil {
		return failed
	}
	return err
}

// AuditList says which entries to list; it is what the store is asked for.
type AuditList = store.AuditQuery

// AuditLog returns a page of the audit log, newest first, and whether there is more behind it. Without an organization it
// is, for who acts on every organization, the whole of it, and for others that of the organizations they manage.
func (s *Service) AuditLog(ctx context.Context, c Caller, q AuditList) (page []audit.Entry, more bool, err error) {
	limit := q.Limit
	q.Limit++
	a := readAuditOf
	if q.OrganizationID == 0 {
		a = readAudit
	}
	err = s.look(ctx, c, a, audit.Target{Type: audit.Log}, func(r view, e *record) error {
		e.OrganizationID = q.OrganizationID
		_, err := s.authorize(ctx, r, c, a, in(q.OrganizationID))
		switch {
		case err == nil:
			page, err = r.AuditLog(ctx, q)
			return err
		case q.OrganizationID != 0 || !errors.Is(err, &key.Error{Code: key.Forbidden}):
			return err
		}
		page, err = s.managedAudit(ctx, r, c, q, err)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	page, more = cut(page, limit)
	return page, more, nil
}

// managedAudit returns the entries of all organizations that the caller manages; refused is the error where there is none.
func (s *Service) managedAudit(ctx context.Context, r view, c Caller, q store.AuditQuery, refused error) ([]audit.Entry, error) {
	memberships, err := r.Memberships(ctx, c.UserID)
	if err != nil {
		return nil, err
	}
	var page []audit.Entry
	managed := false
	for _, m := range memberships {
		if _, err := s.authorize(ctx, r, c, readAuditOf, in(m.OrganizationID)); err != nil {
			if _, ok := errors.AsType[*key.Error](err); ok {
				continue
			}
			return nil, err
		}
		managed = true
		q.OrganizationID = m.OrganizationID
		entries, err := r.AuditLog(ctx, q)
		if err != nil {
			return nil, err
		}
		page = append(page, entries...)
	}
	if !managed {
		return nil, refused
	}
	slices.SortFunc(page, func(a, b audit.Entry) int { return cmp.Compare(b.ID, a.ID) })
	page, _ = cut(page, q.Limit)
	return page, nil
}

// cut returns at most limit of what was found, and whether there was more.
func cut[T any](found []T, limit int) ([]T, bool) {
	if len(found) > limit {
		return found[:limit], true
	}
	return found, false
}

// VerifyAudit goes through the whole audit log and returns where it begins and ends, or an *audit.BrokenError for the first
// place that is not what was written. The log may grow and be pruned meanwhile.
func VerifyAudit(ctx context.Context, r store.Reader) (audit.Extent, error) {
	const size = 1000
	var reached audit.Head
	for {
		extent, err := r.AuditExtent(ctx)
		if err != nil {
			return extent, err
		}
		if extent.Pruned.ID > reached.ID {
			reached = extent.Pruned
		}
		page, err := r.AuditAfter(ctx, reached.ID, size)
		if err != nil {
			return extent, err
		}
		if len(page) == 0 {
			return extent, extent.End(reached)
		}
		if reached, err = follow(reached, page); err != nil {
			if now, failed := r.AuditExtent(ctx); failed != nil || now.Pruned.ID == extent.Pruned.ID {
				return extent, errors.Join(err, failed)
			}
			// Its beginning was pruned between the two reads: what is left is looked at anew.
			reached = audit.Head{}
		}
	}
}

// follow returns the head behind a page of entries.
func follow(reached audit.Head, page []audit.Entry) (audit.Head, error) {
	for i := range page {
		next, err := audit.Follow(reached, &page[i])
		if err != nil {
			return reached, err
		}
		reached = next
	}
	return reached, nil
}

// fields is what the audit log says of a thing: its fields as the API names them.
type fields map[string]any

// text returns the fields as a JSON object.
func (f fields) text() []byte {
	if len(f) == 0 {
		return nil
	}
	b, err := json.Marshal(f)
	if err != nil { // they are made here
		panic(fmt.Sprintf("audit entry: %v", err))
	}
	return b
}

// differences returns what is different in two states of a thing.
func differences(before, after fields) (old, new []byte) {
	for name, value := range after {
		if reflect.DeepEqual(before[name], value) {
			delete(before, name)
			delete(after, name)
		}
	}
	return before.text(), after.text()
}

func keyFields(k *key.Key) fields {
	return fields{
		"key_name": k.Name, "key_scope": k.Scopes.Names(), "user_id": k.UserID, "key_hint": k.Hint, "enabled": k.Enabled,
		"expires_at": moment(k.ExpiresAt), "metadata": metadataOf(k.Metadata),
		"limits": limitsOf(k.Limits), "quota": quotaOf(k.Quota), "allowed_cidrs": append([]netip.Prefix{}, k.AllowedCIDRs...),
	}
}

func limitsOf(limits []key.Limit) []fields {
	all := []fields{}
	for _, l := range limits {
		all = append(all, fields{"name": l.Name, "requests": l.Requests, "window_seconds": int64(l.Window / time.Second)})
	}
	return all
}

func quotaOf(q key.Quota) any {
	switch {
	case q == key.Quota{}:
		return nil
	case q.Period == key.Ever:
		return fields{"requests": q.Requests, "period": nil}
	default:
		return fields{"requests": q.Requests, "period": q.Period.String()}
	}
}

func organizationFields(o *key.Organization) fields {
	f := fields{"organization_name": o.Name, "external_id": nil, "metadata": metadataOf(o.Metadata)}
	if o.ExternalID != "" {
		f["external_id"] = o.ExternalID
	}
	return f
}

// timeLayout is how the API writes times.
const timeLayout = "2006-01-02T15:04:05.000Z"

func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeLayout)
}

func metadataOf(metadata []byte) json.RawMessage {
	if metadata == nil {
		return json.RawMessage("{}")
	}
	return metadata
}
