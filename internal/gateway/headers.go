package gateway

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/limit"
)

// The headers of an answer that say whose the key is, in canonical form. They are in every answer, empty where nothing is known, so
// that a proxy that copies them overwrites what the client has sent under these names.
const (
	HeaderID             = "X-Apikey-Id"
	HeaderName           = "X-Apikey-Name"
	HeaderOrganizationID = "X-Apikey-Organization-Id"
	HeaderUserID         = "X-Apikey-User-Id"
	HeaderScope          = "X-Apikey-Scope"
)

// IdentityCount is how many such headers there are.
const IdentityCount = 5

// Identity lists them, in the order of Headers.Identity.
var Identity = [IdentityCount]string{HeaderID, HeaderName, HeaderOrganizationID, HeaderUserID, HeaderScope}

// The headers that say what is left of a key's limits.
const (
	HeaderPolicy     = "Ratelimit-Policy"
	HeaderState      = "Ratelimit"
	HeaderRetryAfter = "Retry-After"
)

// Headers are the values of the headers of an answer; "": with an identity, an empty one, else none.
type Headers struct {
	Identity   [IdentityCount]string
	Policy     string
	State      string
	RetryAfter string
}

// Nobody reports whether there is nothing in h, as where no good key was sent.
func (h *Headers) Nobody() bool { return h.Identity[0] == "" }

// scopesText holds each set of scopes as the header names it.
var scopesText = func() (texts [key.AllScopes + 1]string) {
	for set := range key.AllScopes + 1 {
		texts[set] = strings.Join(set.Names(), " ")
	}
	return texts
}()

// Headers fills in the headers of the answer. The texts share one piece of memory, which is the only thing that is allocated;
// room is memory to put them together in, and is returned for the next time.
func (j *Judgement) Headers(h *Headers, room []byte) []byte {
	*h = Headers{}
	r := j.known()
	if r == nil {
		return room
	}
	var ends [IdentityCount + 2]int
	b := strconv.AppendInt(room[:0], r.KeyID, 10)
	ends[0] = len(b)
	b = appendEscaped(b, r.Name)
	ends[1] = len(b)
	b = strconv.AppendInt(b, r.OrganizationID, 10)
	ends[2] = len(b)
	b = strconv.AppendInt(b, r.UserID, 10)
	ends[3] = len(b)
	if j.Allowance.Requests != 0 {
		b = limit.AppendPolicy(b, r.Restrictions)
		ends[4] = len(b)
		b = limit.AppendState(b, j.Allowance)
		ends[5] = len(b)
		if wait, ok := limit.RetryAfter(j.Allowance); ok && j.Verdict == Limited {
			b = strconv.AppendInt(b, wait, 10)
		}
		ends[6] = len(b)
	}
	text := string(b)
	begin := 0
	for i, into := range [...]*string{&h.Identity[0], &h.Identity[1], &h.Identity[2], &h.Identity[3], &h.Policy, &h.State, &h.RetryAfter} {
		if ends[i] > begin {
			*into = text[begin:ends[i]]
			begin = ends[i]
		}
	}
	h.Identity[4] = scopesText[r.Scopes&key.AllScopes]
	return b
}

// appendEscaped appends text with all but unreserved characters percent-encoded (RFC 3986, section 2.3).
func appendEscaped(b []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; unreserved[c] {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&0xf])
		}
	}
	return b
}

var unreserved = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		is[c] = true
	}
	return is
}()

// view returns text as bytes without copying it. Nobody may write to them.
func view(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }
