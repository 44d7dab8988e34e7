# What the scripts share: how they speak, and where things are. Sourced from the checkout's root.

set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/azure-workload-identity"
target="${CARGO_TARGET_DIR:-$PWD/target}"
SDK_DIRECTORY="$cache/sdk"
export SDK_DIRECTORY

if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

# step TEXT: what happens next.
step() {
    printf '\n%s▸ %s%s\n' "$bold" "$*" "$plain"
}

# note TEXT: what a reader should know about it.
note() {
    printf '%s  %s%s\n' "$dim" "$*" "$plain"
}

# run_cluster COMMAND…: runs a command on the test node, with both images on it.
run_cluster() {
    cargo build --quiet -p cluster -p azure-emulator
    "$target/debug/cluster" run --image dist/webhook.tar --image dist/proxy.tar -- "$@"
}
