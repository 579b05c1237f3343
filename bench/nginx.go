package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/freeport"
)

// measureNginx measures requests to an API behind nginx that asks apikeyd about each, and behind the same nginx that asks somebody
// who always says yes. Keys are all in the cache.
func measureNginx(ctx context.Context, b *bench) (_ []figure, err error) {
	api, err := b.startFloor(ctx, "verify", bytes.Repeat([]byte("x"), 1000))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, api.stop()) }()
	var floor, single, ours contestant
	defer func() { err = errors.Join(err, stopAll(&floor, &single, &ours)) }()
	judge, err := b.startCached(ctx, "--trusted-proxies", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	headers, err := permission(ctx, judge.verification)
	if err != nil {
		return nil, errors.Join(err, judge.stop())
	}
	if ours.server, err = b.startNginx(ctx, judge, api); err != nil {
		return nil, err
	}
	if floor.server, err = b.startNginxAllowing(ctx, headers, api); err != nil {
		return nil, err
	}
	if single.server, err = b.startNginxAllowing(ctx, inOne(headers), api); err != nil {
		return nil, err
	}
	if err := b.compete(ctx, mix{way: byRequest}, &floor, &single, &ours); err != nil {
		return nil, err
	}
	const what = "a request to an API behind nginx, keys in cache"
	all := append(ours.figures(what, floor, promise{share: 0.95}), ours.figures(what+", beside a single header", single, promise{})...)
	// nginx's own processor time says little about whom it asks.
	return slices.DeleteFunc(all, func(f figure) bool { return strings.HasSuffix(f.What, perProcessorSecond) }), nil
}

// startNginxAllowing starts nginx in front of an API, which asks a floor that allows every request with these headers.
func (b *bench) startNginxAllowing(ctx context.Context, headers http.Header, api *server) (*server, error) {
	judge, err := b.startAllowing(ctx, headers)
	if err != nil {
		return nil, err
	}
	return b.startNginx(ctx, judge, api)
}

// nginxConfig is what stands around the published configuration: nothing but where files are.
const nginxConfig = `daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	include api.conf;
}
`

// findNginx returns the path of nginx, which Debian puts where only root looks.
func findNginx() (path string, err error) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("nginx is missing: install it (Debian: apt-get install nginx-light), or measure only what needs none")
}

// startNginx starts nginx with the published configuration, but for the addresses, in front of an API. It takes over the judge, and
// stops it, be it at once where it fails.
func (b *bench) startNginx(ctx context.Context, judge, api *server) (_ *server, err error) {
	s := judge
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	program, err := findNginx()
	if err != nil {
		return nil, err
	}
	address, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	folder, err := b.configureNginx(ctx, address, judge, api)
	if err != nil {
		return nil, err
	}
	started, err := b.launch("nginx, which asks "+judge.name, program, "-p", folder, "-e", "stderr", "-c", filepath.Join(folder, "nginx.conf"))
	if err != nil {
		return nil, err
	}
	started.judges, started.verification, s = judge, "http://"+address, started
	if err := s.awaitConnections(ctx, address); err != nil {
		return nil, err
	}
	return s, nil
}

// configureNginx writes the configuration to a folder of nginx's own.
func (b *bench) configureNginx(ctx context.Context, address string, judge, api *server) (folder string, err error) {
	root, err := repository(ctx)
	if err != nil {
		return "", err
	}
	published, err := os.ReadFile(filepath.Join(root, "deploy", "nginx.conf"))
	if err != nil {
		return "", err
	}
	if folder, err = os.MkdirTemp(b.work, "nginx-"); err != nil {
		return "", err
	}
	host := func(s *server) string { return strings.TrimPrefix(s.verification, "http://") }
	text := strings.NewReplacer("127.0.0.1:8000", address, "127.0.0.1:8081", host(judge), "127.0.0.1:9000", host(api)).Replace(string(published))
	if err := os.WriteFile(filepath.Join(folder, "api.conf"), []byte(text), 0o600); err != nil {
		return "", err
	}
	return folder, os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(nginxConfig), 0o600)
}

// awaitConnections waits until a server that does not say when it is ready takes connections.
func (s *server) awaitConnections(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(logPoll)
	defer poll.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-poll.C:
		case <-s.Done():
			text, _ := os.ReadFile(s.log.Name())
			return fmt.Errorf("%s ended before it was ready: %s", s.name, strings.TrimSpace(string(text)))
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w", s.name, err)
		}
	}
}
