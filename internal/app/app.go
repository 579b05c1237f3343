// Package app builds a whole apikeyd from its Config and runs it. It is shared by the program and by the tests, so
// that what is tested is what runs.
//
// It is the only place that knows every other room; it holds no rule of its own.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/apidoc"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/cluster"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/extauthz"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/github"
	"github.com/apikeyd/apikeyd/internal/httpapi"
	"github.com/apikeyd/apikeyd/internal/oidc"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/subscribe"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// Options are what a server is given beside its Config.
type Options struct {
	// Log takes what happens, Requests a line for each request. The caller closes what they write to, after Close.
	Log      *slog.Logger
	Requests *telemetry.RequestLog
	// LogLost says how many log lines were dropped; nil: none are.
	LogLost func() uint64
	// Build says which program this is.
	Build telemetry.Build
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// App is a server: first opened, then run, then closed.
type App struct {
	config   *config.Config
	log      *slog.Logger
	store    store.Store
	node     *cluster.Node      // nil: this is the only one
	stale    *cluster.Staleness // likewise
	hub      *subscribe.Hub
	admin    *admin.Service
	usage    *usage.Recorder
	limiter  *limiter
	mailer   *mailer        // nil: no mail is sent
	provider *oidc.Provider // nil: there is no identity provider
	gateway  *gateway.Gateway
	reloads  ruleReloads

	management   listener
	verification listener
	grpc         grpcListener // serves nobody where the operator has set no address
	draining     atomic.Bool
}

// Open opens the database and the listeners. Where the database is empty it creates the schema. The server does not
// answer before Run.
func Open(ctx context.Context, c *config.Config, o Options) (_ *App, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &App{config: c, log: o.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()

	if a.store, err = openDatabase(ctx, c, serving, a.log); err != nil {
		return nil, err
	}
	a.usage = usage.NewRecorder(a.store, a.log)
	if a.limiter, err = newLimiter(c, a.store, o.Now, a.log); err != nil {
		return nil, err
	}
	checking := verify.Options{
		Tokens: a.store, Usage: a.usage, Now: o.Now, Limiter: a.limiter,
		CacheBytes: int64(c.CacheSize), NegativeCacheBytes: int64(c.NegativeCacheSize),
	}
	nodes, several := a.store.(store.Nodes)
	lease := cluster.NewLease(c.Lease, c.StaleIfError, o.Now)
	if several {
		checking.Lease = lease
	}
	checker := verify.New(checking)
	if a.hub, err = newHub(c, checker, several, lease, a.log); err != nil {
		return nil, err
	}
	var invalidator admin.Invalidator = a.hub
	if several {
		a.node = cluster.New(cluster.Options{Nodes: nodes, Cache: a.hub, Lease: lease, Name: nodeName(c), Version: o.Build.Version,
			Now: o.Now, Log: a.log})
		a.stale = cluster.NewStaleness(lease, func() int64 { return checker.Stats().Stale }, o.Now, a.log)
		invalidator = a.node
	}
	if a.mailer, err = newMailer(c, a.SignInURL, a.log); err != nil {
		return nil, err
	}
	if a.provider, err = newProvider(c, o.Now, a.log); err != nil {
		return nil, err
	}
	use := admin.Options{Store: a.store, Invalidator: invalidator, Now: o.Now, Log: a.log}
	if a.mailer != nil {
		use.Mailer = a.mailer
	}
	a.admin = newAdmin(c, use)
	guard, err := browser.NewGuard(c.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("public URL: %w", err)
	}

	a.gateway = gateway.New(checker, c.Rules)
	metrics := telemetry.NewMetrics(o.Build)
	registerMetrics(metrics, checker)
	registerLimits(metrics, a.limiter.Limiter)
	registerHub(metrics, a.hub)
	a.reloads.register(metrics, a.gateway)
	if a.node != nil {
		registerNode(metrics, a.node, lease, a.stale)
	}
	if o.LogLost != nil {
		metrics.CounterFunc("apikeyd_log_lines_lost_total", "Log lines dropped because they could not be written.", nil,
			func() float64 { return float64(o.LogLost()) })
	}
	client := browser.Client{Trusted: c.TrustedProxies}
	api := httpapi.Options{
		Checker: checker, RequestIDs: telemetry.NewRequestIDs(), Requests: o.Requests, Log: a.log, Metrics: metrics,
		Admin: a.admin, Now: o.Now, Guard: guard, Client: client, SignInURL: a.SignInURL,
		Gateway: a.gateway,
		OpenAPI: apidoc.OpenAPI(), Docs: apidoc.Page(),
		Ready: a.ready, LogChecks: c.LogChecks, Subscriptions: a.hub,
	}
	api.Pages, api.Nowhere = a.pages(guard, client, o.Now)
	if a.provider != nil {
		api.Identities = identities{a.provider}
	}
	if c.GitHubKeysURL != "" {
		api.GitHub = secretScanning{github.New(github.Options{URL: c.GitHubKeysURL, Now: o.Now, Log: a.log})}
	}
	if c.VerifyTokens.Len() > 0 {
		api.VerifyToken = c.VerifyTokens.Match
	}
	if err := a.management.open(ctx, c.Listen, c.TLS, httpapi.NewManagement(api), a.log); err != nil {
		return nil, err
	}
	if err := a.verification.open(ctx, c.VerifyListen, c.VerifyTLS, httpapi.NewVerification(api), a.log); err != nil {
		return nil, err
	}
	if err := a.grpc.open(ctx, c, extauthz.Options{Gateway: a.gateway, Client: client, RequestIDs: api.RequestIDs, Requests: o.Requests,
		Metrics: metrics, Log: a.log, VerifyToken: api.VerifyToken, LogChecks: c.LogChecks, Ready: a.ready}); err != nil {
		return nil, err
	}
	return a, nil
}

// Initialised reports whether the database has its first user.
func (a *App) Initialised(ctx context.Context) (bool, error) { return a.store.Initialised(ctx) }

// Initialise makes the first user, organization and key; see admin.Service.Initialise.
func (a *App) Initialise(ctx context.Context, email, organization string) (admin.Initialised, error) {
	return a.admin.Initialise(ctx, email, organization)
}

// ManagementAddr and VerificationAddr are where the server listens, with the port that it was given for port 0.
func (a *App) ManagementAddr() net.Addr   { return a.management.net.Addr() }
func (a *App) VerificationAddr() net.Addr { return a.verification.net.Addr() }

// GRPCAddr is where Envoy's external authorization is served, nil where it is not.
func (a *App) GRPCAddr() net.Addr { return a.grpc.addr() }

// SignInURL returns the address of a one-time link.
func (a *App) SignInURL(link secret.Secret) string {
	return SignInURL(a.ManagementURL(), link)
}

// ManagementURL is how the management API is reached: as the operator says, or from this machine.
func (a *App) ManagementURL() string {
	if a.config.PublicURL != "" {
		return a.config.PublicURL
	}
	return LocalURL(a.config.Listen, a.config.TLS, a.ManagementAddr().String())
}

// VerificationURL is how services on this machine ask whether a key is good; "" where that takes more than an address: a socket, a
// token or a certificate.
func (a *App) VerificationURL() string {
	if a.config.VerifyListen.Network == "unix" || a.config.VerifyTokens.Len() > 0 || a.config.VerifyTLS.Enabled() {
		return ""
	}
	return LocalURL(a.config.VerifyListen, a.config.VerifyTLS, a.VerificationAddr().String())
}

func (a *App) ready(ctx context.Context) error {
	if a.draining.Load() {
		return httpapi.ErrDraining
	}
	switch err := a.store.Ready(ctx); {
	case errors.Is(err, store.ErrSchema):
		return &httpapi.NotReady{Reason: "this version cannot work on the schema of the database", Err: err}
	case err != nil && a.stale != nil && a.stale.Allowed(): // the operator wants answers, and other nodes have no better ones
		return nil
	case err != nil:
		return &httpapi.NotReady{Reason: "the database cannot be read", Err: err}
	}
	return nil
}

// nodeName is what this node is called: as the operator says, or like its machine.
func nodeName(c *config.Config) string {
	if c.NodeName != "" {
		return c.NodeName
	}
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// Run answers requests until ctx is done or a listener fails. Then it drains: /readyz says no for the shutdown delay,
// the listeners close, and requests under way have the shutdown timeout to end.
func (a *App) Run(ctx context.Context) error {
	var background sync.WaitGroup
	stop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if a.node != nil {
		background.Go(func() { a.node.Run(stop) })
		background.Go(func() { a.stale.Run(stop) })
	}
	background.Go(func() { a.usage.Run(stop) })
	background.Go(func() { a.limiter.Run(stop) })
	background.Go(func() { a.admin.Run(stop) })
	if a.mailer != nil {
		background.Go(func() { a.mailer.outbox.Run(stop) })
	}
	defer background.Wait() // after the last request: what it used is written, too
	defer cancel()

	failed := make(chan error, 3)
	go func() { failed <- a.management.serve() }()
	go func() { failed <- a.verification.serve() }()
	about := []any{"listen", a.ManagementAddr().String(), "verify_listen", a.VerificationAddr().String()}
	if addr := a.GRPCAddr(); addr != nil {
		go func() { failed <- a.grpc.serve() }()
		about = append(about, "grpc_listen", addr.String())
	}
	a.log.Info("ready", about...)

	var failure error
	select {
	case failure = <-failed:
	case <-ctx.Done():
		a.draining.Store(true)
		a.grpc.drain()
		a.log.Info("shutting down", "delay", a.config.ShutdownDelay.String(), "timeout", a.config.ShutdownTimeout.String())
		time.Sleep(a.config.ShutdownDelay)
	}
	err := errors.Join(failure, a.drain())
	a.log.Info("stopped", "error", err)
	return err
}

// drain ends all listeners and the subscriptions at the same time. The time it takes is bounded by the shutdown timeout.
func (a *App) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.config.ShutdownTimeout)
	defer cancel()
	var errs [4]error
	var all sync.WaitGroup
	all.Go(func() { errs[0] = a.management.shutdown(ctx) })
	all.Go(func() { errs[1] = a.verification.shutdown(ctx) })
	all.Go(func() { errs[2] = a.grpc.shutdown(ctx) })
	all.Go(func() { errs[3] = a.hub.Close() })
	all.Wait()
	return errors.Join(errs[:]...)
}

// Close frees what Open took. It is to be called after Run has returned, or instead of it.
func (a *App) Close() error {
	errs := []error{a.management.close(), a.verification.close(), a.grpc.close()}
	if a.hub != nil {
		errs = append(errs, a.hub.Close())
	}
	if a.provider != nil {
		a.provider.Close()
	}
	if a.limiter != nil {
		a.limiter.close()
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}

var errShutdownTimeout = errors.New("requests were still under way when the shutdown timeout ended; they were cut off")

// Time-outs and bounds of both listeners. A request that trickles in, or whose answer nobody takes, must not hold a
// connection for ever.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second // headers and body
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
)

// NewServer returns an http.Server with the time-outs and bounds of both listeners.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       browser.ConnContext,
		ErrorLog:          belowHTTP(log),
	}
}
