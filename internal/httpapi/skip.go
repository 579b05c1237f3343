package httpapi

import (
	"io"
	"net/http"
	"time"
)

const (
	skipWait  = 5 * time.Millisecond // for what was sent together with the headers, and comes behind them
	skipMost  = 256 << 10            // bytes: of more than these, net/http reads nothing and hangs up
	drainWait = time.Second          // within which an answer arrives
)

// skipBody gets a body that nobody looks at out of the way of the answer, which is about to be sent.
//
// net/http reads the rest of a body before it sends the answer, so that the next request begins behind it. Some proxies announce the
// client's body to us and never send it: they would wait for the answer until we give up. So what has come is read, and if
// that is all of it, the connection goes on. For the rest nobody waits, and the connection ends with the answer: what comes
// now may be that rest or the next request, and neither may be taken for the other.
//
// EnableFullDuplex would have it answered at once as well. But then a connection goes on behind a body that did not come
// in time, and what comes later of that is taken for a request.
//
// It is called when all else is done: where reading fails, the request's context ends.
func (x *exchange) skipBody() {
	if x.r.ContentLength > skipMost || x.r.ProtoMajor != 1 || x.r.Close || x.r.Header["Expect"] != nil {
		return // nobody waits for it anyway
	}
	conn := http.NewResponseController(x.w)
	if err := conn.SetReadDeadline(time.Now().Add(skipWait)); err != nil {
		return // no connection, so there is nothing to wait for
	}
	if _, err := io.CopyN(io.Discard, x.r.Body, skipMost+1); err == io.EOF {
		return
	}
	x.Header()["Connection"] = hangUp
	// Whoever still sends is listened to for a moment, so that the answer is not lost: to close a connection while something comes
	// resets it. Behind this, net/http reads and closes.
	_ = conn.SetReadDeadline(time.Now().Add(drainWait))
}
