# What the test scripts share. Sourced from the checkout's root.

source deploy/build/console.sh

export SDK_DIRECTORY="$cache/sdk"

# run_cluster COMMAND…: runs a command on the test node, with both images on it.
run_cluster() {
    cargo build --quiet -p cluster -p azure-emulator
    "$target/debug/cluster" run --image dist/webhook.tar --image dist/proxy.tar -- "$@"
}
