# Each target installs the tools that are missing. `make` alone lists the targets.

.PHONY: help check test verify build images manifest configuration sbom supply-chain reproducible vendor notices release demo e2e matrix delivery chart lint fuzz adversary load soak bench cluster clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

demo: ## Show the main job on a real Kubernetes node: an old application reads its secret
	@tests/demo/run

check: ## Before a commit, some 3 minutes: format, lints, documents, dependencies, unit tests
	@tests/check

test: ## Before a merge, some 15 minutes: check, and the product on a real Kubernetes node
	@tests/test

verify: ## Before a release, three to four hours: all SDKs and faults, older Kubernetes, arm64, reproducible builds, a release, fuzzing, adversary, soak
	@tests/verify

build: ## Build static binaries in dist/
	@deploy/build/binaries

images: ## Build the images as OCI archives in dist/
	@deploy/build/images

manifest: ## Render the chart into deploy/manifest.yaml
	@deploy/build/manifest

configuration: ## Update docs/chart.md and docs/flags-and-metrics.md from the chart and the programs
	@UPDATE_DOCS=1 tests/configuration
	@UPDATE_DOCS=1 cargo test --quiet --locked -p webhook -p proxy -p proxy-init -p azwi -- are_those_of_ documents_the_

sbom: ## Write a bill of materials of each binary to dist/
	@deploy/build/sbom

supply-chain: ## Update docs/supply-chain.md: the crates that are compiled in, and their size
	@UPDATE_DOCS=1 tests/supply-chain

reproducible: ## Build the images and every binary a second time elsewhere, and compare
	@deploy/build/images
	@tests/images/reproducible webhook proxy proxy-init azwi

vendor: ## Copy the sources of all crates to vendor/, to build without network
	@deploy/build/vendor

notices: ## Write the licences of all compiled-in crates to dist/
	@deploy/build/notices

release: ## Push signed images and chart: VERSION=0.1.0 REGISTRY=host/path COSIGN_KEY=cosign.key
	@deploy/release/run

lint: ## Check format, lints and the API documentation
	@tests/lint

chart: ## Check the chart; UPDATE_GOLDEN=1 accepts what it renders
	@tests/chart/run

e2e: ## Run the end-to-end tests of `make test`; ARGS="name" picks some of all, ARGS=--all runs all
	@tests/e2e/run $(ARGS)

matrix: ## Run the tests on the node with each older version of Kubernetes
	@tests/matrix

neighbours: ## Run the product beside cert-manager, Gatekeeper, the init programs of meshes and upstream; ARGS="name" picks some
	@tests/neighbours/run $(ARGS)

delivery: ## Run the tests that install, change and remove the product; ARGS="name" picks some
	@tests/delivery/run $(ARGS)

fuzz: ## Run every fuzz target for 10 s; ARGS="60 path" runs one target for a minute
	@tests/fuzz/run $(ARGS)

adversary: ## Attack the real webhook and proxy for two minutes; ARGS="600 --seed 7" for ten with this seed
	@tests/adversary/run $(ARGS)

load: ## Measure the product under load on a real Kubernetes node
	@tests/endurance/load

soak: ## Run the product for half an hour with short-lived tokens, rotations and faults; ARGS="5" is five minutes
	@tests/endurance/soak $(ARGS)

bench: ## Compare the binaries with bare servers of the same answers; ARGS="proxy", "webhook", "stages", "restart" or "start"
	@tests/bench/run $(ARGS)

cluster: ## Open a shell in a test cluster with the product installed
	@tests/e2e/shell

clean: ## Remove what was built in this checkout; the cache of tools stays
	cargo clean
	rm -rf dist
