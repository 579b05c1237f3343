package console

import (
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
)

// pageNodes is the template of this page.
const pageNodes = "nodes"

const nodesPath = "/nodes"

// nodePages are those of the nodes.
func (c *Console) nodePages() []Page {
	return []Page{c.page(http.MethodGet, nodesPath, c.signedIn(c.nodes))}
}

// nodesPage is what the page says.
type nodesPage struct {
	Several bool // otherwise there is one node, and nobody keeps a list
	Nodes   []nodeRow
	Silent  bool // there is one that has not renewed its lease
}

// nodeRow is a node in the list.
type nodeRow struct {
	admin.Node
	State        keyState
	Behind       string // how many changes it has yet to apply
	LeaseText    string
	WaitsText    string // how often changes of others have waited for it, and how long on average
	IsBehind     bool
	SinceRenewal string
}

// nodes shows the nodes and how they are.
func (c *Console) nodes(v *visit) error {
	found, err := c.Admin.Cluster(v.r.Context(), v.caller)
	if err != nil {
		return err
	}
	p := nodesPage{Several: found.Several}
	now := c.Now()
	for _, n := range found.Nodes {
		row := newNodeRow(n, found.Last, now)
		p.Silent = p.Silent || row.State == silent
		p.Nodes = append(p.Nodes, row)
	}
	return c.show(v, http.StatusOK, pageNodes, frame{Title: "Nodes", Section: sectionNodes, Main: p})
}

// The states of a node.
var (
	serving = keyState{"serving", "good"}
	silent  = keyState{"silent", "bad"}
)

// newNodeRow tells how a node is. last is the number of the last change.
func newNodeRow(n admin.Node, last int64, now time.Time) nodeRow {
	behind := max(0, last-n.Applied)
	since := max(0, now.Sub(n.RenewedAt)) // 0 where this machine's clock is behind the database's
	row := nodeRow{Node: n, State: serving, Behind: count(behind), IsBehind: behind > 0, LeaseText: n.Lease.String(),
		WaitsText: "never", SinceRenewal: since.Round(100*time.Millisecond).String() + " ago"}
	if since > n.Lease {
		row.State = silent
	}
	if n.Waits > 0 {
		each := (n.Waited / time.Duration(n.Waits)).Round(time.Millisecond)
		row.WaitsText = count(n.Waits) + " times, " + each.String() + " each"
	}
	return row
}
