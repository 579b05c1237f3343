package httpapi

import (
	"fmt"
	"io"

	"github.com/apikeyd/apikeyd/api"
)

const (
	maxBody      = 64 << 10 // bytes
	maxBatchBody = 1 << 20  // bytes, of a batch of checks
)

// receive reads the body of a request into x.body. It refuses one that is not of the declared type before one that is
// too large, and reads no more than it must.
func (x *exchange) receive() error {
	limit, length := x.route.maxBody, x.r.ContentLength
	if length > 0 {
		if err := checkContentType(x.r.Header, x.route.consumes); err != nil {
			return err
		}
	}
	if length > limit {
		return tooLarge(limit)
	}
	if err := x.readBody(limit); err != nil {
		return &problem{code: api.CodeMalformedRequest, hangUp: true, cause: err,
			detail: "the body could not be read to its end"}
	}
	// A body of unknown length may turn out to be none, and then it has no type.
	if length < 0 && len(x.body) > 0 {
		if err := checkContentType(x.r.Header, x.route.consumes); err != nil {
			return err
		}
	}
	if int64(len(x.body)) > limit {
		return tooLarge(limit)
	}
	return nil
}

func tooLarge(limit int64) error {
	return &problem{code: api.CodeContentTooLarge, hangUp: true,
		detail: fmt.Sprintf("the body must be at most %d KiB long", limit>>10)}
}

// readBody reads to the end, or to one byte beyond the limit.
func (x *exchange) readBody(limit int64) error {
	b := x.body[:0]
	if b == nil {
		b = make([]byte, 0, 512)
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		room := b[len(b):min(int64(cap(b)), limit+1)]
		n, err := x.r.Body.Read(room)
		b = b[:len(b)+n]
		x.body = b
		switch {
		case err == io.EOF || int64(len(b)) > limit:
			return nil
		case err != nil:
			return err
		}
	}
}
