# What the test scripts share. Sourced from the checkout's root.

source deploy/build/console.sh

export SDK_DIRECTORY="$cache/sdk"

# What is on the test node. run_cluster makes the last one: registry.example.com/curl:v1.
images=(dist/{webhook,proxy,proxy-init,curl}.tar)

# run_cluster COMMAND…: runs a command on the test node.
run_cluster() {
    cargo build --quiet -p cluster -p azure-emulator
    tests/lib/curl-image dist/curl.tar
    "$target/debug/cluster" run "${images[@]/#/--image=}" -- "$@"
}
