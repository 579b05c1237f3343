package extauthz

import (
	"net/http"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	kind "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/gateway"
)

// identity are the names of the headers that say whose a key is, in lower case, as HTTP/2 has them.
var identity = func() (names [gateway.IdentityCount]string) {
	for i, name := range gateway.Identity {
		names[i] = strings.ToLower(name)
	}
	return names
}()

// header is one header of an answer, in one piece of memory.
type header struct {
	option core.HeaderValueOption
	value  core.HeaderValue
}

// The other headers of an answer.
const (
	headerPolicy     = "ratelimit-policy"
	headerState      = "ratelimit"
	headerRetryAfter = "retry-after"
)

// headers are those of one answer, for which there is room.
type headers struct {
	room []header
	used int
}

func newHeaders(room int) *headers { return &headers{room: make([]header, room)} }

// How many headers answers have at most.
const (
	permissionHeaders = gateway.IdentityCount + 2
	refusalHeaders    = 8
)

// set appends a header to a list: it is put in place of what there is under the name. Without a text there is none.
func (h *headers) set(list []*core.HeaderValueOption, name, text string) []*core.HeaderValueOption {
	if text == "" {
		return list
	}
	one := &h.room[h.used]
	h.used++
	one.value.Key, one.value.Value = name, text
	one.option.Header = &one.value
	one.option.AppendAction = core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	return append(list, &one.option)
}

var granted = &status.Status{Code: int32(codes.OK)}

// permission lets a request through. Envoy ignores a header without a value, so that a client's own would stay: those are removed.
func permission(values *gateway.Headers) *auth.CheckResponse {
	ok := &auth.OkHttpResponse{}
	if values.Nobody() {
		ok.HeadersToRemove = identity[:]
	} else {
		room := gateway.IdentityCount
		if values.Policy != "" {
			room = permissionHeaders
		}
		h := newHeaders(room)
		ok.Headers = make([]*core.HeaderValueOption, 0, gateway.IdentityCount)
		for i, name := range identity {
			ok.Headers = h.set(ok.Headers, name, values.Identity[i])
		}
		ok.ResponseHeadersToAdd = h.limits(nil, values)
	}
	return &auth.CheckResponse{Status: granted, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok}}
}

// limits appends the headers that say what is left of a key's limits.
func (h *headers) limits(list []*core.HeaderValueOption, values *gateway.Headers) []*core.HeaderValueOption {
	list = h.set(list, headerPolicy, values.Policy)
	return h.set(list, headerState, values.State)
}

// refusal answers with a problem document. values may be nil.
func refusal(problem *api.Error, values *gateway.Headers, challenge string) *auth.CheckResponse {
	problem.Type, problem.Status = "about:blank", problem.Code.Status()
	problem.Title = http.StatusText(problem.Status)
	h := newHeaders(refusalHeaders)
	denied := &auth.DeniedHttpResponse{
		Status: &kind.HttpStatus{Code: kind.StatusCode(problem.Status)},
		Body:   string(problem.JSON()),
	}
	denied.Headers = h.set(denied.Headers, "content-type", "application/problem+json")
	denied.Headers = h.set(denied.Headers, "cache-control", "no-store")
	denied.Headers = h.set(denied.Headers, "x-content-type-options", "nosniff")
	denied.Headers = h.set(denied.Headers, "www-authenticate", challenge)
	if problem.Code == api.CodeUnavailable {
		denied.Headers = h.set(denied.Headers, headerRetryAfter, "1")
	}
	if values != nil {
		denied.Headers = h.limits(denied.Headers, values)
		denied.Headers = h.set(denied.Headers, headerRetryAfter, values.RetryAfter)
	}
	return &auth.CheckResponse{
		Status:       &status.Status{Code: int32(statusOf(problem.Code)), Message: problem.Detail},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: denied},
	}
}

// statusOf returns the code of gRPC's that says the same.
func statusOf(code api.Code) codes.Code {
	switch code {
	case api.CodeUnauthenticated:
		return codes.Unauthenticated
	case api.CodeRateLimited:
		return codes.ResourceExhausted
	case api.CodeUnavailable:
		return codes.Unavailable
	case api.CodeMalformedRequest:
		return codes.InvalidArgument
	default:
		return codes.PermissionDenied
	}
}
