package telemetry

import (
	"encoding/json"
	"regexp"
	"sync"
	"testing"
)

func TestRequestIDs(t *testing.T) {
	shape := regexp.MustCompile(`^[a-z2-7]{23}$`)
	ids := NewRequestIDs()
	const goroutines, each = 4, 5000
	var mu sync.Mutex
	seen := make(map[RequestID]bool)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			own := make([]RequestID, each)
			for i := 0; i < each; i += 5 {
				own[i] = ids.Next()
				first := ids.Reserve(4)
				for j := range uint64(4) {
					own[uint64(i)+1+j] = ids.Reserved(first + j)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range own {
				if seen[id] || !shape.MatchString(id.String()) {
					t.Errorf("id %s, seen before: %v", id, seen[id])
				}
				seen[id] = true
			}
		})
	}
	wg.Wait()

	// Another process, or this one after a restart, has another beginning.
	for range 1000 {
		if id := NewRequestIDs().Next(); seen[id] {
			t.Fatalf("id %s is given twice", id)
		} else {
			seen[id] = true
		}
	}
}

func TestRequestIDCountsInEveryDigit(t *testing.T) {
	ids := NewRequestIDs()
	for _, tt := range []struct {
		count uint64
		want  string
	}{{0, "aaaaaaaaab"}, {30, "aaaaaaaaa7"}, {31, "aaaaaaaaba"}, {1<<50 - 2, "7777777777"}} {
		ids.count.Store(tt.count)
		if got := ids.Next().String()[processDigits:]; got != tt.want {
			t.Errorf("after %d: %s, want %s", tt.count, got, tt.want)
		}
	}
}

func TestRequestIDAsText(t *testing.T) {
	id := NewRequestIDs().Next()
	js, err := json.Marshal(struct{ A, B RequestID }{id, RequestID{}})
	if want := `{"A":"` + id.String() + `","B":""}`; err != nil || string(js) != want {
		t.Errorf("JSON = %s, %v, want %s", js, err, want)
	}
}

func BenchmarkRequestID(b *testing.B) {
	ids := NewRequestIDs()
	b.ReportAllocs()
	for b.Loop() {
		ids.Next()
	}
}
