# What is worth a name. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Tools come from the module proxy, pinned, and leave no trace in go.mod.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The linter of the OpenAPI document comes from npm, pinned with its checksum in internal/apidoc/lint.
REDOCLY := build/apidoc/node_modules/.bin/redocly

# What the tests in a browser need comes from npm, pinned with its checksum in e2e/browser.
BROWSER := build/browser/node_modules/playwright-core/package.json

# PostgreSQL in each version that is supported comes from npm, pinned with its checksum in internal/store/postgres/postgrestest/versions.
VERSIONS := build/postgres

# The tests of PostgreSQL, and those of several nodes, measure how long things take: they have the machine to themselves.
POSTGRES := internal/store/postgres
NODES := ^(TestADeadKeyIsDeadOnEveryNode|TestTheDatabaseGoesAway|TestFailOver|TestFailOverLosesCommits|TestUpgrade|TestHistories|TestHistoriesFindAFault)$$

# What takes longest begins first, so that all else runs beside it.
FIRST := ./internal/store/sqlite ./internal/console

# The examples of the middleware use routers that apikeyd itself does not depend on.
EXAMPLES := middleware/examples

# The race detector makes these much slower and has nothing to find in them: a table of who may do what, one cell after the other,
# measurements of small sizes, and what is done from outside to the program, which is another process and built without it.
TABLE := ^TestOneDoor$$
BENCH := bench
E2E   := e2e

# The race detector looks at our code and at that of the libraries, but for SQLite itself, which is C translated to Go: it has nothing to
# find there, and makes each statement many times slower. A package with generic code must not be left out: the linker keeps one of
# several copies of what is instantiated, and if that is one without the detector, it misses what orders things elsewhere.
RACE := -race '-gcflags=modernc.org/sqlite/lib=-race=false'

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BIN     := bin/apikeyd
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/apikeyd
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/apikeyd

.PHONY: test
test: prepare generated lint apidoc browser examples ## everything that must hold before a change lands
	go test $(RACE) -timeout 15m -skip '$(TABLE)' $(FIRST) $$(go list ./... | grep -v -e '$(POSTGRES)$$' -e '/$(BENCH)$$' -e '/$(E2E)$$')
	go test -timeout 15m -run '$(TABLE)' ./internal/admin
	go test -timeout 15m ./$(BENCH)
	go test $(RACE) -timeout 15m -parallel 4 ./$(POSTGRES)
	go test -timeout 15m -skip '$(NODES)' ./$(E2E)
	go test -timeout 15m -parallel 1 -run '$(NODES)' ./$(E2E)

.PHONY: prepare
prepare: # what the tests need from the system; installs it where it may
	@.ci/prepare

.PHONY: fetch
fetch: $(REDOCLY) $(BROWSER) # what the tests need from registries, which may take more than one try
	go list -deps -test ./... >/dev/null
	cd $(EXAMPLES) && go list -deps -test ./... >/dev/null
	go mod tidy -diff >/dev/null
	go run $(STATICCHECK) -version >/dev/null

.PHONY: generated
generated: # generated files are what their generators make
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted (run gofmt -w):'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go mod tidy -diff
	go mod verify

.PHONY: lint
lint: ## vet and staticcheck
	go vet ./...
	go run $(STATICCHECK) ./...

.PHONY: apidoc
apidoc: $(REDOCLY) ## hold the OpenAPI document against a public linter
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true $(REDOCLY) lint \
		--config internal/apidoc/lint/redocly.yaml --lint-config error internal/apidoc/openapi.json

$(REDOCLY): internal/apidoc/lint/package.json internal/apidoc/lint/package-lock.json
	mkdir -p build/apidoc
	cp $^ build/apidoc
	npm ci --prefix build/apidoc --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: browser
browser: $(BROWSER) # what the tests in a browser need, beside the browser

$(BROWSER): e2e/browser/package.json e2e/browser/package-lock.json
	mkdir -p build/browser
	cp $^ build/browser
	npm ci --prefix build/browser --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: examples
examples: ## build and test the examples with other people's routers, which are a module of their own
	cd $(EXAMPLES) && go vet ./... && go test ./...

.PHONY: postgres-versions
postgres-versions: $(VERSIONS)/node_modules/postgres-14/native/bin/postgres ## run what is about PostgreSQL against every version that is supported, on Linux with x86-64
	@for version in $(CURDIR)/$(VERSIONS)/node_modules/postgres-*; do \
		echo "== $$($$version/native/bin/postgres --version)"; \
		APIKEYD_TEST_POSTGRES_BIN=$$version/native/bin go test -count=1 -timeout 15m ./$(POSTGRES) ./internal/store/move ./cmd/apikeyd; \
	done

# What the packages' own scripts do, links between libraries, is asked for by name: npm may be set to run no scripts.
$(VERSIONS)/node_modules/postgres-14/native/bin/postgres: $(wildcard internal/store/postgres/postgrestest/versions/*)
	mkdir -p $(VERSIONS)
	cp $^ $(VERSIONS)
	npm ci --prefix $(VERSIONS) --ignore-scripts --no-audit --no-fund
	for version in $(VERSIONS)/node_modules/postgres-*; do (cd $$version && node scripts/hydrate-symlinks.js); done
	touch $@

.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME (default 30s) each
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $${FUZZTIME:-30s} $$pkg; \
		done; \
	done

.PHONY: torture
torture: ## record histories of a cluster under faults for TORTURE (default 1h) and check them
	APIKEYD_HISTORIES_FOR=$${TORTURE:-1h} go test -count=1 -timeout 0 -run '^TestHistories$$' -v ./e2e

.PHONY: bench
bench: ## measure what docs/performance.md claims, beside its floors
	go run ./bench
