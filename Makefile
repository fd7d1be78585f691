# Two commands are all that is needed on a fresh Debian or Ubuntu with Go and
# root: `make demo` and `make test`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
# A number of inputs: where a time is up, a worker at work fails the target.
FUZZTIME ?= 100000x
LINT_VERSION := v2.15.0
LINT := bin/golangci-lint-$(LINT_VERSION)
DEADCODE_VERSION := v0.52.0
DEADCODE := bin/deadcode-$(DEADCODE_VERSION)
# What no program calls and is not dead: machine code, and what tests of several
# packages read the kernel's filters with, or make a container by.
NOT_DEAD := unreachable func: (loop|NewFilter|Filters.Evaluate|action|FoundBy|Example)$$
# What packages are made with, and lists what is in them; as the linter, not in go.mod.
# cmd/dx/packaging/build calls both by these names.
NFPM := bin/nfpm-v2.45.2
SBOM := bin/cyclonedx-gomod-v1.10.0
UNIT := ./cmd/... ./dockerx/... ./nsops/... ./cmpdiff/...

# dx is one static file, and the tests are of that.
export CGO_ENABLED := 0

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/dx
	$(GO) build -trimpath -ldflags "$$(cmd/dx/packaging/ldflags)" -o bin/dx ./cmd/dx

.PHONY: cross
cross: ## Build and vet for arm64: bin/dx-arm64
	GOARCH=arm64 $(GO) build -trimpath -ldflags "$$(cmd/dx/packaging/ldflags)" -o bin/dx-arm64 ./cmd/dx
	GOARCH=arm64 $(GO) vet ./...

# The launcher's machine code and images, as arm64 runs them.
ARM64_TESTS = cd nsops/launch && GOARCH=arm64 $(GO) test -c -o ../../bin/launch-arm64.test . && \
	DX_TEST_RUNNER="$$(command -v qemu-aarch64-static)" qemu-aarch64-static ../../bin/launch-arm64.test -test.run 'Loop|Image|Explain|Child|Filter'

.PHONY: arm64
arm64: cross ## Tests of the arm64 launcher, and of dx's start, under qemu-user
	$(ARM64_TESTS)
	qemu-aarch64-static bin/dx-arm64 --version

.PHONY: generate
generate: ## Write what is generated: golden images, the system call table, man pages
	$(GO) generate ./...
	$(GO) test ./nsops/launch -run Golden -update
	$(GO) test ./cmd/dx -run ManPages -update
	$(ARM64_TESTS) -test.run Golden -update

PREFIX ?= /usr/local

.PHONY: install
install: build ## Install to $(DESTDIR)$(PREFIX): dx, man pages, completions, docker dx
	cmd/dx/packaging/stage "$(DESTDIR)" "$(PREFIX)" bin/dx bin/dx

.PHONY: uninstall
uninstall: ## Remove what `make install` has installed
	cmd/dx/packaging/unstage "$(DESTDIR)" "$(PREFIX)"

.PHONY: dist
dist: $(NFPM) $(SBOM) ## Tarballs, deb, rpm, apk, SBOMs and SHA256SUMS: dist/
	GO=$(GO) cmd/dx/packaging/build

.PHONY: demo
demo: build ## Stop a dockerd of its own, and get in past it (without Docker: on a process)
	$(GO) run ./e2e/demo bin/dx

.PHONY: test
test: deps cross arm64 unit unit-user engine e2e ## Install what the tests need, and run every tier

.PHONY: deps
deps:
	e2e/install-deps

.PHONY: unit
unit: ## Unit tests: no root, no engine
	$(GO) test $(UNIT)

.PHONY: unit-user
unit-user: ## The same as a plain user, started by root
	$(GO) test -count=1 -exec "$(CURDIR)/e2e/as-user" $(UNIT)

# The packages whose tests use an engine where they are given one.
.PHONY: engine
engine: ## Tests of the libraries against a private engine
	packages=$$(grep -rl --include='*_test.go' -e DX_TEST_ENGINE -e dockerx/internal/testengine cmd dockerx nsops cmpdiff | xargs -r -n1 dirname | sort -u | sed 's|^|./|'); \
	[[ -z "$$packages" ]] || $(GO) run ./e2e/withengine -- $(GO) test -count=1 $$packages

# Each package runs in a world of its own (e2e/world).
.PHONY: e2e
e2e: ## Tests of dx on real containers, cgroup v1 and v2
	DX_TEST_E2E=1 $(GO) test -count=1 -timeout 40m ./e2e/...

# Not part of `make test`: it builds engines that no package has. -w writes docs/engines.md.
.PHONY: e2e-engines
e2e-engines: deps ## Each other engine against its own exec: the table of docs/engines.md
	e2e/engines/run -w

# Not part of `make test`: ten times all of it takes an hour and more.
.PHONY: stress
stress: deps ## Unit and e2e tests, RUNS times (10) under load and odd conditions
	.ci/fast-cgroups e2e/stress/run $(RUNS)

# Neither is part of `make test`: they take many minutes and gigabytes of disk.
.PHONY: e2e-matrix
e2e-matrix: ## Compare with the docker exec of other Debian releases, and of dockerd 29
	e2e/matrix/run

.PHONY: e2e-vm
e2e-vm: ## The same in a virtual machine: systemd, AppArmor, --privileged
	e2e/vm/run

.PHONY: e2e-dist
e2e-dist: $(NFPM) $(SBOM) ## Build all packages twice, install them, also on a fresh Debian, and remove them; the demo
	e2e/install-deps packages
	DX_TEST_DIST=1 $(GO) test -count=1 -timeout 60m ./e2e/dist

.PHONY: lint
lint: $(LINT) $(DEADCODE) ## gofmt, go mod tidy, go vet, golangci-lint, dead code, no timed tests
	@unformatted=$$(gofmt -l cmd dockerx nsops cmpdiff e2e); [[ -z "$$unformatted" ]] || { echo "gofmt: $$unformatted"; exit 1; }
	.ci/no-durations --self-test && .ci/no-durations
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(LINT) run ./...
	GOOS=linux $(DEADCODE) -test ./... >bin/dead
	GOOS=linux $(DEADCODE) -filter '^dx/(cmd|dockerx|nsops|cmpdiff)\b' ./cmd/dx >>bin/dead
	@! grep -vE '$(NOT_DEAD)' bin/dead

# Not in go.mod: the linter's 300 dependencies are not dx's.
$(LINT):
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $@

$(DEADCODE):
	GOBIN=$(CURDIR)/bin $(GO) install golang.org/x/tools/cmd/deadcode@$(DEADCODE_VERSION)
	mv bin/deadcode $@

$(NFPM):
	GOBIN=$(CURDIR)/bin $(GO) install -trimpath github.com/goreleaser/nfpm/v2/cmd/nfpm@$(subst bin/nfpm-,,$@)
	mv bin/nfpm $@

$(SBOM):
	GOBIN=$(CURDIR)/bin $(GO) install -trimpath github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(subst bin/cyclonedx-gomod-,,$@)
	mv bin/cyclonedx-gomod $@

.PHONY: fuzz
fuzz: ## Give each fuzz target FUZZTIME inputs (100000x)
	GO=$(GO) .ci/fuzz $(FUZZTIME)

.PHONY: bench
bench: build deps ## Compare with docker exec, runc exec, nsenter, docker ps and lsns
	$(GO) run ./e2e/bench bin/dx

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin dist
