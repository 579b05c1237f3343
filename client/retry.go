package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Retry says how often and how patiently a request that failed is sent again. A zero field takes its default, which
// is given below for a Client and for a Verifier.
//
// A request is sent again after a failure that may pass, and only where that is safe:
//
//	what failed                                           sent again
//	the server was not reached at all                     every request: nothing was sent
//	503 with the code unavailable                         every request: the server says that nothing was done
//	429                                                   every request: it was refused
//	the connection broke, or an attempt took too long     only what is idempotent: it may have been done
//	502, 503 or 504 from something before the server      only what is idempotent: it may have been done
//
// Idempotent are all GETs, both ways to verify (save that a check of a key with limits may be counted again), and whatever deletes, removes or ends a thing. The others are not: a
// second CreateKey makes a second key; a second RotateKey throws away the token that the first handed out, and with it
// the old one's grace; a second UpdateKey could undo what somebody else changed in between, such as enable a key again
// that was just disabled; a second SignIn begins a second session, or finds its link used up; a second SetPassword would
// be told that the current password is wrong.
//
// Before attempt n+1 a random time of up to FirstDelay × 2ⁿ⁻¹, at most MaxDelay, goes by ("full jitter"), so that
// clients that failed together do not come back together. A Retry-After header is waited out on top of that. Nothing
// is waited for that ends after the context's deadline: the last error is returned at once.
type Retry struct {
	Attempts      int           // in all; 1: never again. 4, 3
	FirstDelay    time.Duration // 100 ms, 25 ms
	MaxDelay      time.Duration // 2 s, 250 ms
	MaxRetryAfter time.Duration // a longer Retry-After is not waited for; the error is returned. 30 s, 1 s
}

// or fills in the fields that are zero.
func (r Retry) or(d Retry) Retry {
	return Retry{
		Attempts:      cmp.Or(r.Attempts, d.Attempts),
		FirstDelay:    cmp.Or(r.FirstDelay, d.FirstDelay),
		MaxDelay:      cmp.Or(r.MaxDelay, d.MaxDelay),
		MaxRetryAfter: cmp.Or(r.MaxRetryAfter, d.MaxRetryAfter),
	}
}

// failure is how an attempt failed.
type failure struct {
	err       error
	untouched bool          // it is certain that the server did nothing
	passing   bool          // another attempt may fare better
	after     time.Duration // what the answer asked to be waited; 0: it did not say
}

// try sends r as often as Retry allows. decode is nil where success has no body.
func (c *conn) try(ctx context.Context, r request, decode func([]byte) error) (http.Header, error) {
	body, err := encode(r.body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: encode the request: %w", r.method, c.url(r), err)
	}
	for attempt := 1; ; attempt++ {
		header, f := c.attempt(ctx, r, body, decode)
		if f == nil {
			return header, nil
		}
		mayRepeat := f.passing && (f.untouched || r.idempotent) && attempt < c.retry.Attempts
		if !mayRepeat || !c.retry.wait(ctx, attempt, f.after) {
			return nil, gaveUp(ctx, f.err, attempt)
		}
	}
}

// gaveUp returns the last attempt's error with the number of attempts, and with that of ctx where ctx has ended.
func gaveUp(ctx context.Context, err error, attempts int) error {
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		err = fmt.Errorf("%w; then %w", err, end)
	}
	if attempts > 1 {
		err = fmt.Errorf("%w (tried %d times)", err, attempts)
	}
	return err
}

// wait waits before the attempt that follows the given one. It returns false, at once, where there would be no sense
// in waiting, and as soon as ctx ends.
func (r Retry) wait(ctx context.Context, attempt int, after time.Duration) bool {
	if after > r.MaxRetryAfter {
		return false
	}
	delay := after + rand.N(r.ceiling(attempt)+1)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
		return false
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ceiling is the longest delay after the given attempt, without Retry-After.
func (r Retry) ceiling(attempt int) time.Duration {
	delay := r.FirstDelay
	for range attempt - 1 {
		if delay >= r.MaxDelay/2 {
			return r.MaxDelay
		}
		delay *= 2
	}
	return min(delay, r.MaxDelay)
}

// retryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date. What cannot be read is 0.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(math.MaxInt64/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt64
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// broken judges a request that got no whole answer.
func (c *conn) broken(ctx context.Context, r request, err error) *failure {
	f := &failure{err: c.scrubError(r, err)}
	var dial *net.OpError
	f.untouched = errors.As(err, &dial) && dial.Op == "dial"
	f.passing = ctx.Err() == nil && !misconfigured(err)
	return f
}

// misconfigured reports whether err is about how the two sides are set up, which waiting does not change.
func misconfigured(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		name        *net.DNSError
	)
	return errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &alert) ||
		errors.As(err, &name) && name.IsNotFound || errors.Is(err, http.ErrSchemeMismatch)
}
