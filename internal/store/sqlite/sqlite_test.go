package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "apikeyd.db"), Migrate: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
