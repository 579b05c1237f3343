package throttle

import "time"

// bucket counts the attempts for one name.
type bucket struct {
	name    digest
	emptyAt time.Duration // since the Limiter's start
	place   int           // in the queue
}

// queue is a heap, as container/heap keeps it.
type queue []*bucket

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].emptyAt < q[j].emptyAt }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push appends a *bucket.
func (q *queue) Push(x any) {
	b := x.(*bucket)
	b.place = len(*q)
	*q = append(*q, b)
}

// Pop removes the last.
func (q *queue) Pop() any {
	last := len(*q) - 1
	b := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return b
}
