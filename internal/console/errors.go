package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
)

// refusal is an error that is a page of its own.
type refusal struct {
	status int
	title  string
	text   string
	wait   time.Duration // until it may be tried again; 0: that is not the point
}

// Error returns the text.
func (r *refusal) Error() string { return r.title + ": " + r.text }

// errorPage is what the page of an error says.
type errorPage struct {
	Text      string
	RequestID string // "": the server has not failed
	Back      link   // where to go on
}

// fail shows an error. It is the only place where one that is no fault of a field is shown, and where one is logged.
func (c *Console) fail(v *visit, err error) {
	if v.session.ID != 0 && isCode(err, key.Unauthenticated) {
		if err = c.askToSignIn(v); err == nil { // it has ended meanwhile
			return
		}
	}
	r := c.describe(v, err)
	page := errorPage{Text: r.text, Back: link{Name: "Go to the start", URL: "/"}}
	if v.me != nil {
		page.Back = link{Name: "Go to the keys", URL: keysPath}
	}
	if r.status >= http.StatusInternalServerError && v.r.Context().Err() == nil {
		page.RequestID = v.caller.RequestID
		c.Log.LogAttrs(v.r.Context(), slog.LevelError, "page failed", slog.String("request_id", v.caller.RequestID), slog.Any("error", err))
	}
	v.retryAfter(r.wait)
	if err := c.show(v, r.status, pageError, frame{Title: r.title, Narrow: true, Main: page}); err != nil {
		panic(err) // the template is at fault, and the mount logs that
	}
}

// describe turns any error into a page. What it does not know is a fault of ours.
func (c *Console) describe(v *visit, err error) *refusal {
	var r *refusal
	var rule *key.Error
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, browser.ErrCrossSite):
		return c.crossSite(v)
	case isCode(err, key.NotFound):
		return &refusal{status: http.StatusNotFound, title: titleOf(http.StatusNotFound), text: "It was deleted, or it belongs to an organization " +
			"that is not, or no longer, yours to see."}
	case errors.As(err, &rule):
		status := api.Code(rule.Code).Status()
		return &refusal{status: status, title: titleOf(status), text: sentence(rule.Detail), wait: rule.Wait}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &refusal{status: http.StatusServiceUnavailable, title: titleOf(http.StatusServiceUnavailable), text: "It took too long, and nothing was done. Try again."}
	default:
		return &refusal{status: http.StatusInternalServerError, title: titleOf(http.StatusInternalServerError), text: "The server has made a mistake."}
	}
}

// crossSite explains a request that seems to come from another site. A browser on an unencrypted connection does not say
// where it comes from, so there it means something else.
func (c *Console) crossSite(v *visit) *refusal {
	r := &refusal{status: http.StatusForbidden, title: "This was not sent from here", text: "Another site has made your browser send this, so it " +
		"was not done. If you meant to do it, do it from the page itself."}
	if c.unencrypted(v.r) {
		r.title, r.text = "This works over HTTPS only", "Your browser has reached this server without encryption, and then it neither says "+
			"which page a form comes from nor keeps you signed in. Nothing was done. Ask whoever operates the server for an address that begins with https."
	}
	return r
}

// titleOf returns the heading for a status that use cases give.
func titleOf(status int) string {
	switch status {
	case http.StatusNotFound:
		return "There is no such thing"
	case http.StatusForbidden:
		return "You may not do that"
	case http.StatusTooManyRequests:
		return "Too many attempts"
	case http.StatusServiceUnavailable:
		return "Not just now"
	case http.StatusInternalServerError:
		return "Something went wrong"
	default:
		return "That did not work"
	}
}

// retryAfter says when to try again, for those who do not read.
func (v *visit) retryAfter(wait time.Duration) {
	if wait > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(seconds(wait)))
	}
}

// seconds returns whole seconds, rounded up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func isCode(err error, code key.Code) bool { return errors.Is(err, &key.Error{Code: code}) }
