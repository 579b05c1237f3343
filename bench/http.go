package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
)

// do sends a request and returns the body of the answer, which must have the status 200.
func do(c *http.Client, r *http.Request) ([]byte, error) {
	resp, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", r.Method, r.URL.Path, resp.Status, body)
	}
	return body, nil
}

// answerTo returns the body of the answer to a check, which must be that the key is valid.
func answerTo(ctx context.Context, url string, text keyfile.Text) ([]byte, error) {
	question := fmt.Sprintf(`{"key":"%s","scope":"READ"}`, text[:])
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/verify", strings.NewReader(question))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	body, err := do(http.DefaultClient, r)
	if err == nil && !bytes.HasPrefix(body, []byte(`{"valid":true`)) {
		err = fmt.Errorf("the answer to a check is %s", body)
	}
	return body, err
}

// counters are some of a server's metrics.
type counters struct {
	valid, notFound, misses int64 // since the start
	cached                  int64 // keys in the cache
}

// since returns by how much the counts have risen.
func (c counters) since(before counters) counters {
	c.valid -= before.valid
	c.notFound -= before.notFound
	c.misses -= before.misses
	return c
}

// counters reads the metrics. The floor has none.
func (s *server) counters(ctx context.Context) (c counters, err error) {
	if s.isFloor() {
		return c, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.verification+"/metrics", nil)
	if err != nil {
		return c, err
	}
	body, err := do(http.DefaultClient, r)
	if err != nil {
		return c, err
	}
	return parseCounters(string(body))
}

// parseCounters reads metrics in the text format of Prometheus.
func parseCounters(text string) (c counters, err error) {
	wanted := map[string]*int64{
		`apikeyd_checks_total{code="VALID"}`:     &c.valid,
		`apikeyd_checks_total{code="NOT_FOUND"}`: &c.notFound,
		`apikeyd_cache_misses_total`:             &c.misses,
		`apikeyd_cache_entries{cache="known"}`:   &c.cached,
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if into := wanted[name]; into != nil {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return c, err
			}
			*into = int64(f)
			delete(wanted, name)
		}
	}
	for name := range wanted {
		return c, fmt.Errorf("the server has no metric %s", name)
	}
	return c, nil
}
