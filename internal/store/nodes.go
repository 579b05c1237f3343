package store

import (
	"context"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// Node is a process that may answer checks from memory, as the others know it.
type Node struct {
	ID        int64
	Name      string // for people
	Version   string
	Lease     time.Duration // how long a renewal lets it answer, by its own clock
	Beat      int64         // the number of its last renewal
	Applied   int64         // the last change that it has applied
	History   string        // of the database that it has joined; see Feed
	StartedAt time.Time
	RenewedAt time.Time // by the database's clock, for people

	// How many changes the others have waited for it, and for how long all together, as they say from time to time: for people.
	Waits  int64
	Waited time.Duration
}

// Feed is what happened since a node has looked last.
type Feed struct {
	Digests []key.Digest // of the tokens that changed, in the order of the changes
	Last    int64        // the number of the last change
	// Gap: changes are missing, because they were deleted since or the database is an older one. Whoever asked must forget all.
	Gap bool
	// History changes where another server takes over, which may lack what the one before had committed last. What was read
	// before may never have happened, and changes may have got the numbers of others.
	History string
}

// News is word of changes that were committed together. What it says of them is true, if it says anything.
type News struct {
	Last    int64        // the number of the last one; 0: not known
	Digests []key.Digest // the Digests of all of them, up to the last one; none: not known
	History string       // as in Feed
	Own     bool         // they were made by this process
}

// Word is word of a node. What it says is true, if it says anything.
type Word struct {
	NodeID  int64  // 0: not known
	Applied int64  // the number of the last change that it has applied
	History string // as in Feed: in another one, changes have other numbers
}

// Nodes is where the nodes of a cluster leave word for each other: in the database itself, so that what they know of each
// other is as true as what they share. internal/cluster says what for.
//
// Changes are numbered by Update in the order of commits: a reader that has seen change n has seen all below it.
type Nodes interface {
	// Join adds a node under its ID, and gives Applied, the number of the last change, and History, both as of the moment at which
	// the node is there. Its beat is 0.
	Join(ctx context.Context, n Node) (Node, error)
	// Leave removes a node; one that is gone is no error.
	Leave(ctx context.Context, id int64) error

	// Follow returns the changes behind after.
	Follow(ctx context.Context, after int64) (Feed, error)

	// Renew sets the beat of a node to beat, and what it has applied, where its beat is from oldest to beat-1 and the database has
	// the history still that it has joined, and returns the changes behind applied. known reports whether it did: else the node is
	// not there, or not with such a beat, because the database is an older one, or it has another history.
	//
	// The feed MUST be as of a moment behind the call: every change that was committed before Renew was called is one the node has
	// applied, or is brought by the feed.
	//
	// In a hurry it MAY be lost when the server crashes, and then is no ground for a lease: Expel might take the node for one that has
	// not renewed.
	Renew(ctx context.Context, n Node, oldest, beat int64, hurry bool) (feed Feed, known bool, err error)

	// Expel removes a node whose lease has ended for certain, given that it has not renewed since its beat was seen: nobody waits
	// for it any more, and it cannot renew. One with another beat stays.
	Expel(ctx context.Context, id, beat int64) error

	// Behind returns the nodes but one that have not applied a change. Their History is the one that the database has now.
	Behind(ctx context.Context, change, except int64) ([]Node, error)
	// Awaited adds to how many changes have waited for a node, and how long; for one that is gone it does nothing.
	Awaited(ctx context.Context, id, changes int64, waited time.Duration) error
	// List returns all nodes, in the order of their names, and the number of the last change.
	List(ctx context.Context) ([]Node, int64, error)

	// Tidy removes changes that all nodes have applied.
	Tidy(ctx context.Context) error

	// Listen calls changed when there may be changes that a node has not seen, and applied when one may have applied some, until ctx
	// ends; it returns nothing else than why it could not go on. Word may get lost: it only saves asking.
	Listen(ctx context.Context, changed func(News), applied func(Word)) error
}
