package telemetry

import (
	"log/slog"
	"strconv"
	"time"
)

// Request is what is logged about a request. There is no place in it for a query, a header or a body, which may hold a
// token.
type Request struct {
	*Target                 // never nil
	Time      time.Time     // when it ended; never zero
	Level     slog.Level    // of the line
	Status    int           // of the answer
	Duration  time.Duration // how long it took
	Bytes     int64         // of the answer's body
	RequestID RequestID
	Remote    string // where it came from: "203.0.113.9:51234"; "": not known, as with a unix socket
	KeyID     int64  // the key that it was made with or that it asked about; 0: none, or not known
	Code      string // how it came out: the code of a check or of a problem document; "": neither
}

// Target is what a request was for.
type Target struct {
	Listener string // which one it came in on: "management", "verify"
	Method   string // as it was sent
	Path     string // the path of the URL, decoded, without the query
	Route    string // the pattern that matched: "GET /v1/api-keys/{key_id}"; "": none did

	json, text string // its part of a line, where that was prepared
}

// NewTarget returns a Target of many requests, whose part of a line is put together once for all of them. It must not
// be changed. Where a Target is that of one request alone, a literal does.
func NewTarget(listener, method, path, route string) *Target {
	t := &Target{Listener: listener, Method: method, Path: path, Route: route}
	json, text := t.appendJSON(nil), t.appendText(nil)
	t.json, t.text = string(json), string(text)
	return t
}

// RequestLog writes a line for each request: time, level, msg "request", listener, method, path, route, status,
// duration_us (whole microseconds), bytes, request_id, remote, key_id and code, of which route, remote, key_id and code
// are left out where there is none.
//
// The line is, byte for byte, what a logger of NewLogger's writes for these attributes; a test holds the one against
// the other. It is put together by hand because that takes a fraction of the time.
type RequestLog struct {
	w      *Writer
	json   bool
	level  slog.Level
	second secondText
}

// NewRequestLog returns a RequestLog of lines of at least this level.
func NewRequestLog(w *Writer, format Format, level slog.Level) *RequestLog {
	return &RequestLog{w: w, json: format != Text, level: level}
}

// Enabled reports whether a request of this level is logged. Who asks first may save the trouble of filling a Request.
func (l *RequestLog) Enabled(level slog.Level) bool { return level >= l.level }

// Log writes the line, or gathers it: one of level warn or above is written as soon as may be, but Log does not wait
// for it. It keeps nothing of r.
func (l *RequestLog) Log(r *Request) {
	if !l.Enabled(r.Level) {
		return
	}
	// Put together where it is gathered. It is not gathered where the destination fails, which is counted, nor after
	// Close, when there is nobody left to tell.
	lines, err := l.w.begin(nil)
	if err != nil || lines == nil {
		return
	}
	if l.json {
		lines = r.appendJSON(lines, &l.second)
	} else {
		lines = r.appendText(lines, &l.second)
	}
	l.w.end(lines, r.Level >= urgent)
}

func (r *Request) appendJSON(b []byte, second *secondText) []byte {
	b = append(b, `{"time":"`...)
	b = second.appendNanos(b, r.Time)
	b = append(b, `","level":"`...)
	b = append(b, r.Level.String()...)
	b = r.Target.appendJSON(b)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, `,"duration_us":`...)
	b = strconv.AppendInt(b, r.Duration.Microseconds(), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, r.Bytes, 10)
	b = append(b, `,"request_id":"`...)
	b = r.appendID(b)
	b = append(b, '"')
	if r.Remote != "" {
		b = append(b, `,"remote":`...)
		b = appendJSONString(b, r.Remote)
	}
	if r.KeyID != 0 {
		b = append(b, `,"key_id":`...)
		b = strconv.AppendInt(b, r.KeyID, 10)
	}
	if r.Code != "" {
		b = append(b, `,"code":`...)
		b = appendJSONString(b, r.Code)
	}
	return append(b, '}', '\n')
}

// appendJSON writes what stands between the level and the status.
func (t *Target) appendJSON(b []byte) []byte {
	if t.json != "" {
		return append(b, t.json...)
	}
	b = append(b, `","msg":"request","listener":`...)
	b = appendJSONString(b, t.Listener)
	b = append(b, `,"method":`...)
	b = appendJSONString(b, t.Method)
	b = append(b, `,"path":`...)
	b = appendJSONString(b, t.Path)
	if t.Route != "" {
		b = append(b, `,"route":`...)
		b = appendJSONString(b, t.Route)
	}
	return append(b, `,"status":`...)
}

func (r *Request) appendText(b []byte, second *secondText) []byte {
	b = append(b, "time="...)
	b = second.appendMillis(b, r.Time)
	b = append(b, " level="...)
	b = append(b, r.Level.String()...)
	b = r.Target.appendText(b)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, " duration_us="...)
	b = strconv.AppendInt(b, r.Duration.Microseconds(), 10)
	b = append(b, " bytes="...)
	b = strconv.AppendInt(b, r.Bytes, 10)
	b = append(b, " request_id="...)
	if r.RequestID == (RequestID{}) {
		b = append(b, `""`...)
	}
	b = r.appendID(b)
	if r.Remote != "" {
		b = append(b, " remote="...)
		b = appendTextString(b, r.Remote)
	}
	if r.KeyID != 0 {
		b = append(b, " key_id="...)
		b = strconv.AppendInt(b, r.KeyID, 10)
	}
	if r.Code != "" {
		b = append(b, " code="...)
		b = appendTextString(b, r.Code)
	}
	return append(b, '\n')
}

// appendText writes what stands between the level and the status.
func (t *Target) appendText(b []byte) []byte {
	if t.text != "" {
		return append(b, t.text...)
	}
	b = append(b, " msg=request listener="...)
	b = appendTextString(b, t.Listener)
	b = append(b, " method="...)
	b = appendTextString(b, t.Method)
	b = append(b, " path="...)
	b = appendTextString(b, t.Path)
	if t.Route != "" {
		b = append(b, " route="...)
		b = appendTextString(b, t.Route)
	}
	return append(b, " status="...)
}

// appendID writes the request id, which needs no escaping.
func (r *Request) appendID(b []byte) []byte {
	if r.RequestID == (RequestID{}) {
		return b
	}
	return append(b, r.RequestID[:]...)
}
