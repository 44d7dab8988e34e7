# Each target installs what it lacks. `make` alone lists them.

.PHONY: help build images manifest configuration sbom supply-chain reproducible vendor notices demo test e2e delivery lint fuzz load soak bench cluster clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

demo: ## Show the main job on a real Kubernetes node: an old application reads its secret
	@tests/demo/run

test: ## Pass every test: lints, unit tests, and the product on a real Kubernetes node
	@tests/run

build: ## Leave static binaries in dist/
	@deploy/build/binaries

images: ## Leave both images as OCI archives in dist/
	@deploy/build/images

manifest: ## Render the chart into deploy/manifest.yaml
	@deploy/build/manifest

configuration: ## Write docs/chart.md and docs/flags-and-metrics.md from the chart and the programs
	@UPDATE_DOCS=1 tests/configuration
	@UPDATE_DOCS=1 cargo test --quiet --locked -p webhook -p proxy -p proxy-init are_those_of_

sbom: ## Leave a bill of materials of each binary in dist/
	@deploy/build/sbom

supply-chain: ## Write docs/supply-chain.md anew: counts what is compiled in
	@UPDATE_DOCS=1 tests/supply-chain

reproducible: ## Make the images and every binary once more, elsewhere, and compare
	@deploy/build/images
	@tests/images/reproducible webhook proxy proxy-init

vendor: ## Put the sources of all crates into vendor/, to build without network
	@deploy/build/vendor

notices: ## Leave the licences of what is compiled in, in dist/
	@deploy/build/notices

lint: ## Check format, lints and dependencies
	@tests/lint

e2e: ## Run the end-to-end tests alone; ARGS="name" picks some
	@tests/e2e/run $(ARGS)

delivery: ## Run the tests that install, change and remove the product; ARGS="name" picks some
	@tests/delivery/run $(ARGS)

fuzz: ## Look for inputs that break a rule, 10 s a target; ARGS="60 path" is one target for a minute
	@tests/fuzz/run $(ARGS)

load: ## Put load on a real Kubernetes node and print figures
	@tests/endurance/load

soak: ## Half an hour of short lives, rotations and faults on a real Kubernetes node; ARGS="5" is five minutes
	@tests/endurance/soak $(ARGS)

bench: ## Measure the binaries beside bare servers of the same bytes; ARGS="proxy" or "webhook"
	@tests/bench/run $(ARGS)

cluster: ## Open a shell in a test cluster with the product installed
	@tests/e2e/shell

clean: ## Remove what was built here; the cache of tools stays
	cargo clean
	rm -rf dist
