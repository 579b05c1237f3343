package httpapi

import (
	"context"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// uses are the handlers of how keys are used.
type uses struct {
	admin *admin.Service
}

func (h uses) routes() []route {
	return []route{
		{method: http.MethodGet, pattern: keysPath + "/{key_id}/usage", writes: true, serve: endpoint(readUsage, h.ofKey)},
		{method: http.MethodGet, pattern: organizationsPath + "/{organization_id}/usage", writes: true,
			serve: endpoint(readUsage, h.ofOrganization)},
	}
}

// usageQuestion is whose usage is wanted, and of which time.
type usageQuestion struct {
	id int64
	admin.UsageRange
}

func readUsage(in *input) (usageQuestion, error) {
	q := usageQuestion{id: in.pathID()}
	q.From, q.To = in.timeParameter("from"), in.timeParameter("to")
	q.ByDay = in.enumParameter("by", string(api.UsageByHour), string(api.UsageByDay)) == string(api.UsageByDay)
	return q, nil
}

func (h uses) ofKey(ctx context.Context, c admin.Caller, q usageQuestion) (answer, error) {
	u, err := h.admin.KeyUsage(ctx, c, q.id, q.UsageRange)
	return answer{status: http.StatusOK, body: wireUsage(&u)}, err
}

func (h uses) ofOrganization(ctx context.Context, c admin.Caller, q usageQuestion) (answer, error) {
	u, err := h.admin.OrganizationUsage(ctx, c, q.id, q.UsageRange)
	return answer{status: http.StatusOK, body: wireUsage(&u)}, err
}

// wireUsage is a usage as it is sent.
func wireUsage(u *admin.Usage) api.Usage {
	wire := api.Usage{From: api.Time{Time: u.From}, To: api.Time{Time: u.To}, By: api.UsageByHour, Total: wireCounts(&u.Total),
		Buckets: make([]api.UsageBucket, len(u.Buckets))}
	if u.ByDay {
		wire.By = api.UsageByDay
	}
	for i := range u.Buckets {
		b := &u.Buckets[i]
		wire.Buckets[i] = api.UsageBucket{Start: api.Time{Time: b.Start}, UsageCounts: wireCounts(&b.Counts)}
	}
	return wire
}

func wireCounts(c *admin.Counts) api.UsageCounts {
	wire := api.UsageCounts{Allowed: c[key.CheckValid], Refused: map[api.VerifyCode]int64{}}
	for o, n := range c {
		if outcome := key.Outcome(o); n > 0 && outcome != key.CheckValid {
			wire.Refused[api.VerifyCode(outcome.String())] = n
		}
	}
	return wire
}
