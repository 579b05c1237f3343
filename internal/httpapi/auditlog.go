package httpapi

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"regexp"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
)

const auditPath = "/v1/audit-log"

// auditLog is the handler of /v1/audit-log.
type auditLog struct {
	admin *admin.Service
}

func (h auditLog) routes() []route {
	return []route{{method: http.MethodGet, pattern: auditPath, writes: true, serve: endpoint(readAuditList, h.list)}}
}

// auditList is a list of audit entries that was asked for.
type auditList struct {
	page
	admin.AuditList
}

// actionForm is that of an action, or of a group of them.
var actionForm = regexp.MustCompile(`^[a-z]+\.([a-z_]+|\*)$`)

func readAuditList(in *input) (auditList, error) {
	list := auditList{page: in.page(auditPath)}
	list.Limit, list.Before = list.limit, list.before
	list.OrganizationID = in.integerParameter("organization_id", 1, math.MaxInt64, 0)
	list.ActorUserID = in.integerParameter("actor_user_id", 1, math.MaxInt64, 0)
	list.ActorKeyID = in.integerParameter("actor_key_id", 1, math.MaxInt64, 0)
	list.Action = in.actionParameter("action")
	list.TargetType = in.enumParameter("target_type", audit.Types()...)
	list.TargetID = in.integerParameter("target_id", 1, math.MaxInt64, 0)
	list.Outcome, _ = audit.ParseOutcome(in.enumParameter("outcome", audit.Success.String(), audit.Refused.String()))
	list.From, list.To = in.timeParameter("from"), in.timeParameter("to")
	return list, nil
}

func (in *input) actionParameter(name string) string {
	text, ok := in.parameter(name)
	if ok && !actionForm.MatchString(text) {
		in.faults.invalid("/"+name, "must be an action, like key.create, or a group of them, like key.*")
	}
	return text
}

func (h auditLog) list(ctx context.Context, c admin.Caller, list auditList) (answer, error) {
	found, more, err := h.admin.AuditLog(ctx, c, list.AuditList)
	return listAnswer(list.page, found, more, err, wireEntry, func(e *audit.Entry) int64 { return e.ID })
}

// wireEntry is an audit entry as it is sent.
func wireEntry(e *audit.Entry) api.AuditEntry {
	return api.AuditEntry{
		AuditID:    e.ID,
		OccurredAt: api.Time{Time: e.OccurredAt},
		Actor: api.AuditActor{UserID: wireID(e.Actor.UserID), KeyID: wireID(e.Actor.KeyID),
			SessionID: wireID(e.Actor.SessionID)},
		Action:         string(e.Action),
		Target:         api.AuditTarget{Type: e.Target.Type, ID: wireID(e.Target.ID)},
		OrganizationID: wireID(e.OrganizationID),
		IP:             e.IP,
		RequestID:      e.RequestID,
		Outcome:        api.AuditOutcome(e.Outcome.String()),
		Code:           api.Code(e.Code),
		Before:         json.RawMessage(e.Before),
		After:          json.RawMessage(e.After),
		Hash:           e.Hash.String(),
		PreviousHash:   e.PreviousHash.String(),
	}
}

func wireID(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}
