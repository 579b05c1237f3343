package main

import (
	"errors"
	"time"
)

// size says how much is measured.
type size struct {
	Keys   int64 `json:"keys"`   // in the large file; one in ten of them in one organization
	Few    int64 `json:"few"`    // in the small file, likewise
	Cached int   `json:"cached"` // keys in the cache, where that is what counts
	Rounds int   `json:"rounds"` // how often each is measured

	Load    time.Duration `json:"load_ns"` // of a run under load
	Loop    time.Duration `json:"loop_ns"` // of a run in this process
	Lookups int           `json:"lookups"` // in a run of them
	Pages   int           `json:"pages"`   // in a run of them
	Idle    time.Duration `json:"idle_ns"` // until a started server is called idle

	Organization int64 `json:"organization"` // keys in the database of which an organization is deleted that has one in ten of them

	Deletes int `json:"deletes"` // in a run of them
	Crowd   int `json:"crowd"`   // nodes in a large cluster
}

// minRounds is the least number of rounds whose median means something.
const minRounds = 5

var (
	full = size{Keys: 10_000_000, Few: 10_000, Cached: 1_000_000, Rounds: 5,
		Load: 5 * time.Second, Loop: time.Second, Lookups: 20_000, Pages: 300, Idle: time.Second, Organization: 1_000_000, Deletes: 100, Crowd: 50}
	short = size{Keys: 20_000, Few: 2_000, Cached: 5_000, Rounds: 5,
		Load: 200 * time.Millisecond, Loop: 50 * time.Millisecond, Lookups: 200, Pages: 10, Idle: 50 * time.Millisecond, Organization: 2_000, Deletes: 5, Crowd: 3}
)

// override sets what was given; zero is not given.
func (s *size) override(keys int64, rounds int, load time.Duration) {
	if keys != 0 {
		s.Keys = keys
		s.Cached = int(min(int64(s.Cached), keys))
	}
	if rounds != 0 {
		s.Rounds = rounds
	}
	if load != 0 {
		s.Load = load
	}
}

func (s *size) check() error {
	switch {
	case s.Keys < 2*s.Few:
		return errors.New("-keys is too small to tell the large file from the small one")
	case s.Rounds < minRounds:
		return errors.New("-rounds must be at least 5: a median of fewer means little")
	case s.Load < 100*time.Millisecond || s.Load > time.Minute:
		return errors.New("-duration must be from 100ms to 1m")
	}
	return nil
}

// page returns which page of 100 keys lies in the middle of the large organization: 5,000 of a million keys.
func (s *size) page() int { return int(s.Keys / 10 / pageSize / 2) }
