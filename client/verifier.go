package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// Verifier asks the verification listener whether a key may do a thing. It may be used by several goroutines at once.
type Verifier struct{ conn *conn }

// NewVerifier returns a client of the verification listener at server, for instance "http://127.0.0.1:8081" or
// "unix:/run/apikeyd/verify.sock". The address is as in New; a credential is given with WithVerifyToken, and needed
// only where the listener asks for one.
//
// Nothing is sent until the first call.
func NewVerifier(server string, options ...Option) (*Verifier, error) {
	s, err := apply(options)
	if err != nil {
		return nil, err
	}
	if s.apiKey != nil || s.session != nil {
		return nil, errors.New("WithAPIKey and WithSession are for New; the verification listener takes WithVerifyToken")
	}
	// Somebody's request waits for every verification, so less patience than in New.
	retry := Retry{Attempts: 3, FirstDelay: 25 * time.Millisecond, MaxDelay: 250 * time.Millisecond, MaxRetryAfter: time.Second}
	conn, err := newConn(server, s, defaults{credential: s.verifyToken, retry: retry, timeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	return &Verifier{conn}, nil
}

// String names the server.
func (v *Verifier) String() string { return fmt.Sprintf("verifier at %s", v.conn.server) }

// CloseIdleConnections closes the connections that are kept for the next call.
func (v *Verifier) CloseIdleConnections() { v.conn.http.CloseIdleConnections() }

// Verify asks whether a key may do a thing. A key that may not is no error: Valid is false, and Code says why.
//
// It fails closed. An error means that nobody knows, and the answer that comes with it is zero, not valid; so is one
// that contradicts itself.
//
// A check whose connection broke is asked again, as Retry says, because a request need not fail for that. The server may have counted
// the first attempt as well, so such a check may count more than once against the limits and the quota of its key: the key may get
// less than it has, and never more. Where each request must count once, WithRetry(Retry{Attempts: 1}) asks once.
func (v *Verifier) Verify(ctx context.Context, q api.VerifyRequest) (api.Verification, error) {
	answer, _, err := send(ctx, v.conn, request{
		method: http.MethodPost, path: []string{"v1", "verify"}, body: q, secrets: []string{q.Key},
		success: http.StatusOK, idempotent: true,
	}, consistent)
	return answer, err
}

// VerifyBatch asks several questions, at most api.MaxBatch, at once; the answers are in their order. It fails closed as
// Verify does: after an error there are as many answers as questions, and none is valid.
func (v *Verifier) VerifyBatch(ctx context.Context, questions []api.VerifyRequest) ([]api.Verification, error) {
	if questions == nil {
		questions = []api.VerifyRequest{} // null is no array
	}
	secrets := make([]string, len(questions))
	for i, q := range questions {
		secrets[i] = q.Key
	}
	answer, _, err := send(ctx, v.conn, request{
		method: http.MethodPost, path: []string{"v1", "verify", "batch"}, body: api.VerifyBatch{Requests: questions},
		secrets: secrets, success: http.StatusOK, idempotent: true,
	}, func(a api.VerifyBatchResult) error {
		if len(a.Results) != len(questions) {
			return fmt.Errorf("it holds %d results for %d questions", len(a.Results), len(questions))
		}
		for _, one := range a.Results {
			if err := consistent(one); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return make([]api.Verification, len(questions)), err
	}
	return answer.Results, nil
}

// consistent refuses an answer that is none, that calls a key valid and not valid at once, or that vouches for no key
// in particular. A code that this
// package does not know is no fault: a newer server may have more reasons to refuse a key.
func consistent(a api.Verification) error {
	switch {
	case a.Code == "":
		return errors.New("it holds no code")
	case a.Valid != (a.Code == api.VerifyValid):
		return fmt.Errorf("it says valid: %t with the code %.40q", a.Valid, a.Code)
	case a.Valid && a.KeyID <= 0:
		return errors.New("it calls a key valid and does not say which")
	}
	return nil
}
