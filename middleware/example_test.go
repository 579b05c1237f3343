package middleware_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/middleware"
)

func ExampleRequire() {
	keys, err := client.NewVerifier("http://127.0.0.1:8081")
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /accounts/{id}", func(w http.ResponseWriter, r *http.Request) {
		key, _ := middleware.FromContext(r.Context())
		fmt.Fprintln(w, "you are", key.KeyName, "of organization", key.OrganizationID)
	})
	log.Fatal(http.ListenAndServe(":9000", middleware.Require(keys)(mux)))
}

func ExampleNewCache() {
	keys, err := client.NewVerifier("http://127.0.0.1:8081")
	if err != nil {
		log.Fatal(err)
	}
	cache := middleware.NewCache(keys, middleware.CacheOptions{Log: slog.Default()})
	server := &http.Server{Addr: ":9000", Handler: middleware.Require(cache)(http.NotFoundHandler())}
	told, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := make(chan error)
	go func() {
		<-told.Done()
		ended <- server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	err = <-ended
	cache.Close() // gives the lease up; log.Fatal would not run what is deferred
	if err != nil {
		log.Fatal(err)
	}
}
