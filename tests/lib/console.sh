# What the test scripts share. Sourced from the checkout's root.

source deploy/build/console.sh

export SDK_DIRECTORY="$cache/sdk"

# What is on the test node.
images=(dist/webhook.tar dist/proxy.tar)

# run_cluster COMMAND…: runs a command on the test node.
run_cluster() {
    cargo build --quiet -p cluster -p azure-emulator
    "$target/debug/cluster" run "${images[@]/#/--image=}" -- "$@"
}
