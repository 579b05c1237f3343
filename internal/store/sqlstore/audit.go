package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/store"
)

func scanEntry(row Row) (e audit.Entry, err error) {
	var at moment
	var user, apiKey, session, target, organization sql.NullInt64
	var ip, request, code sql.NullString
	err = row.Scan(&e.ID, &at, &user, &apiKey, &session, &e.Action, &e.Target.Type, &target, &organization, &ip, &request,
		&e.Outcome, &code, &e.Before, &e.After, (*hash)(&e.PreviousHash), (*hash)(&e.Hash))
	e.OccurredAt = at.Time()
	e.Actor = audit.Actor{UserID: user.Int64, KeyID: apiKey.Int64, SessionID: session.Int64}
	e.Target.ID, e.OrganizationID = target.Int64, organization.Int64
	e.IP, e.RequestID, e.Code = ip.String, request.String, code.String
	return e, err
}

// AuditLog returns the entries that q describes.
func (r Reader) AuditLog(ctx context.Context, q store.AuditQuery) ([]audit.Entry, error) {
	list := ListAudit
	switch {
	case q.TargetType != "" && q.TargetID != 0:
		list = ListAuditOfTarget
	case q.OrganizationID != 0:
		list = ListAuditOfOrganization
	}
	from, to, err := r.auditIDs(ctx, q.From, q.To)
	if err != nil {
		return nil, err
	}
	action, group := q.Action, ""
	if strings.HasSuffix(action, ".*") {
		action, group = "", strings.TrimSuffix(action, "*")
	}
	return page(ctx, r.run, list, q.Limit, scanEntry, q.OrganizationID, q.TargetType, q.TargetID, from,
		min(to, before(q.Before)), q.ActorUserID, q.ActorKeyID, action, group, int64(q.Outcome), q.Limit)
}

// auditIDs returns the ids that lie between two times, from first to before end. Times rise with ids, so they are found
// by bisection.
func (r Reader) auditIDs(ctx context.Context, from, to time.Time) (first, end int64, err error) {
	first, end = 0, math.MaxInt64
	if from.IsZero() && to.IsZero() {
		return first, end, nil
	}
	extent, err := r.AuditExtent(ctx)
	if err != nil {
		return 0, 0, err
	}
	if !from.IsZero() {
		if first, err = r.firstSince(ctx, extent, from); err != nil {
			return 0, 0, err
		}
	}
	if !to.IsZero() {
		end, err = r.firstSince(ctx, extent, to)
	}
	return first, end, err
}

// firstSince returns the id of the first entry that is not before a time, or that of the entry to come.
func (r Reader) firstSince(ctx context.Context, extent audit.Extent, at time.Time) (int64, error) {
	var failed error
	n := sort.Search(int(extent.Last.ID-extent.Pruned.ID), func(i int) bool {
		var found moment
		err := r.run.One(ctx, SelectAuditTime, func(row Row) error { return row.Scan(&found) }, extent.Pruned.ID+1+int64(i))
		if errors.Is(err, store.ErrNotFound) { // those that were here were taken out of the log
			return true
		}
		if err != nil {
			failed = err
		}
		return !found.Time().Before(at)
	})
	return extent.Pruned.ID + 1 + int64(n), failed
}

// AuditAfter returns entries in the order in which they were written.
func (r Reader) AuditAfter(ctx context.Context, after int64, limit int) ([]audit.Entry, error) {
	return page(ctx, r.run, ListAuditOldest, limit, scanEntry, after, limit)
}

// AuditExtent returns where the audit log begins and ends.
func (r Reader) AuditExtent(ctx context.Context) (x audit.Extent, err error) {
	err = r.run.One(ctx, SelectAuditExtent, func(row Row) error {
		var pruned, last moment
		err := row.Scan(&x.Pruned.ID, (*hash)(&x.Pruned.Hash), &pruned, &x.Last.ID, (*hash)(&x.Last.Hash), &last)
		x.Pruned.OccurredAt, x.Last.OccurredAt = pruned.Time(), last.Time()
		return err
	})
	return x, err
}

// Record adds an entry to the audit log.
func (t *Tx) Record(e audit.Entry) {
	e.Before, e.After = bytes.Clone(e.Before), bytes.Clone(e.After)
	t.entries = append(t.entries, e)
}

// Entries returns what was recorded, for AppendAudit.
func (t *Tx) Entries() []audit.Entry { return t.entries }

// AppendAudit adds entries to the end of the audit log. A database calls it when it is about to commit, for all
// transactions that are committed together, so that the end of the log is read and written once.
//
// Every error but ErrLate matches store.ErrUnavailable and nothing else of the storage contract: what is wrong with the log, somebody
// may have meddled with it, is not about what the transactions did.
func AppendAudit(ctx context.Context, run Runner, entries []audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	err := appendAudit(ctx, run, entries)
	if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, ErrLate) {
		err = fmt.Errorf("%w: %v", store.ErrUnavailable, err)
	}
	if err != nil {
		err = fmt.Errorf("append to the audit log: %w", err)
	}
	return err
}

func appendAudit(ctx context.Context, run Runner, entries []audit.Entry) error {
	extent, err := NewReader(run).AuditExtent(ctx)
	if err != nil {
		return err
	}
	last := extent.Last
	rows := make([][]any, len(entries))
	for i, e := range entries {
		e = e.Chain(last)
		last = e.Head()
		rows[i] = []any{e.ID, e.OccurredAt.UnixMicro(), number(e.Actor.UserID), number(e.Actor.KeyID),
			number(e.Actor.SessionID), string(e.Action), e.Target.Type, number(e.Target.ID), number(e.OrganizationID), text(e.IP),
			text(e.RequestID), int64(e.Outcome), text(e.Code), text(e.Before), text(e.After), e.PreviousHash[:], e.Hash[:]}
	}
	if err := run.ExecEach(ctx, InsertAudit, rows); err != nil {
		return err
	}
	_, err = run.Exec(ctx, UpdateAuditLast, last.ID, last.Hash[:], last.OccurredAt.UnixMicro())
	return err
}

// PruneAudit deletes the oldest entries. It goes by those that are there, so that one that was taken out of the log does
// not keep the others in it.
func (t *Tx) PruneAudit(ctx context.Context, beforeTime time.Time, limit int) (int, error) {
	extent, err := t.AuditExtent(ctx)
	if err != nil {
		return 0, err
	}
	oldest, err := t.AuditAfter(ctx, extent.Pruned.ID, limit)
	if err != nil {
		return 0, err
	}
	n := sort.Search(len(oldest), func(i int) bool { return !oldest[i].OccurredAt.Before(beforeTime) })
	if n == 0 {
		return 0, nil
	}
	head := oldest[n-1].Head()
	if _, err := t.run.Exec(ctx, DeleteAudit, head.ID); err != nil {
		return 0, err
	}
	_, err = t.run.Exec(ctx, UpdateAuditPruned, head.ID, head.Hash[:], head.OccurredAt.UnixMicro())
	return n, err
}
