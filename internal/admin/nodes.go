package admin

import (
	"context"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/store"
)

// Node is one of those that serve a database, as the others know it.
type Node = store.Node

// Cluster is what the nodes that serve one database know of each other.
type Cluster struct {
	Several bool // the database keeps a list; otherwise the process that has it is the only node
	Nodes   []Node
	Last    int64 // the number of the last change
}

// Cluster returns the nodes.
func (s *Service) Cluster(ctx context.Context, c Caller) (found Cluster, err error) {
	err = s.look(ctx, c, listNodes, audit.Target{Type: audit.Node}, func(r view, _ *record) error {
		if _, err := s.authorize(ctx, r, c, listNodes, object{}); err != nil {
			return err
		}
		nodes, several := s.store.(store.Nodes)
		if !several {
			return nil
		}
		found.Several = true
		found.Nodes, found.Last, err = nodes.List(ctx)
		return err
	})
	return found, err
}
