package postgres

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
	"github.com/apikeyd/apikeyd/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		if err := children[name](os.Args[1], func(format string, args ...any) { fmt.Printf(format+"\n", args...) }); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(postgrestest.Exit)) // a closed store leaves no goroutine
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, postgrestest.NewDatabase(t)) })
}
