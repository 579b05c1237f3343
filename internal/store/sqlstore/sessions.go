package sqlstore

import (
	"context"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

func scanSession(row Row) (s key.Session, err error) {
	var created, used, expires moment
	err = row.Scan(&s.ID, &s.UserID, &s.Method, &s.IP, &s.UserAgent, &created, &used, &expires)
	s.CreatedAt, s.LastUsedAt, s.ExpiresAt = created.Time(), used.Time(), expires.Time()
	return s, err
}

func (r Reader) session(ctx context.Context, statement Statement, arg any) (s key.Session, err error) {
	err = r.run.One(ctx, statement, func(row Row) (err error) {
		s, err = scanSession(row)
		return err
	}, arg)
	return s, err
}

// Session returns the session with this id.
func (r Reader) Session(ctx context.Context, id int64) (key.Session, error) {
	return r.session(ctx, SelectSession, id)
}

// SessionByDigest returns the session with this secret.
func (r Reader) SessionByDigest(ctx context.Context, digest key.Digest) (key.Session, error) {
	return r.session(ctx, SelectSessionByDigest, digest[:])
}

// Sessions returns a user's sessions.
func (r Reader) Sessions(ctx context.Context, userID, beforeID int64, limit int) ([]key.Session, error) {
	return page(ctx, r.run, ListSessions, limit, scanSession, userID, before(beforeID), limit)
}

// Device reports whether the user has signed in with this device before.
func (r Reader) Device(ctx context.Context, userID int64, digest key.Digest) (known bool, err error) {
	err = r.run.One(ctx, SelectDevice, func(row Row) error { return row.Scan(&known) }, digest[:], userID)
	return known, err
}

// InsertSession adds a session.
func (t *Tx) InsertSession(ctx context.Context, s key.Session, digest key.Digest) (int64, error) {
	return t.run.Insert(ctx, InsertSession, digest[:], s.UserID, int64(s.Method), s.IP, s.UserAgent, micros(s.CreatedAt),
		micros(s.LastUsedAt), micros(s.ExpiresAt))
}

// TouchSession moves the time of a session's last use forward.
func (t *Tx) TouchSession(ctx context.Context, id int64, at time.Time) error {
	_, err := t.run.Exec(ctx, UpdateSession, id, micros(at))
	return err
}

// DeleteSession ends a session.
func (t *Tx) DeleteSession(ctx context.Context, id int64) error {
	_, err := t.run.Exec(ctx, DeleteSession, id)
	return err
}

// DeleteSessions ends the sessions of a user but one.
func (t *Tx) DeleteSessions(ctx context.Context, userID, except int64) (int64, error) {
	return t.run.Exec(ctx, DeleteSessions, userID, except)
}

// InsertLink adds a one-time link.
func (t *Tx) InsertLink(ctx context.Context, l key.Link, digest key.Digest) error {
	_, err := t.run.Exec(ctx, InsertLink, digest[:], l.UserID, micros(l.CreatedAt), micros(l.ExpiresAt))
	if err == nil {
		_, err = t.run.Exec(ctx, DeleteOldLinks, l.UserID, digest[:], maxLinks-1)
	}
	return err
}

// TakeLink deletes a link and returns it.
func (t *Tx) TakeLink(ctx context.Context, digest key.Digest) (l key.Link, err error) {
	err = t.run.One(ctx, SelectLink, func(row Row) error {
		var created, expires moment
		err := row.Scan(&l.UserID, &created, &expires)
		l.CreatedAt, l.ExpiresAt = created.Time(), expires.Time()
		return err
	}, digest[:])
	if err != nil {
		return l, err
	}
	return l, t.change(ctx, DeleteLink, digest[:])
}

// DeleteLinks deletes a user's links.
func (t *Tx) DeleteLinks(ctx context.Context, userID int64) error {
	_, err := t.run.Exec(ctx, DeleteLinks, userID)
	return err
}

// KeepDevice remembers a device of a user's.
func (t *Tx) KeepDevice(ctx context.Context, userID int64, digest key.Digest, now time.Time) error {
	_, err := t.run.Exec(ctx, InsertDevice, digest[:], userID, micros(now))
	if err == nil {
		_, err = t.run.Exec(ctx, DeleteOldDevices, userID, digest[:], maxDevices-1)
	}
	return err
}

// DeleteDevices forgets a user's devices.
func (t *Tx) DeleteDevices(ctx context.Context, userID int64) error {
	_, err := t.run.Exec(ctx, DeleteDevices, userID)
	return err
}

// DeleteEnded deletes sessions and links that have ended.
func (t *Tx) DeleteEnded(ctx context.Context, unused, now time.Time) (int64, error) {
	sessions, err := t.run.Exec(ctx, DeleteUnusedSessions, micros(unused))
	if err != nil {
		return 0, err
	}
	links, err := t.run.Exec(ctx, DeleteEndedLinks, micros(now))
	return sessions + links, err
}
