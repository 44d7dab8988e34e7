# How the scripts speak, and where things are. Sourced from the checkout's root.

set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/azure-workload-identity"
target="${CARGO_TARGET_DIR:-$PWD/target}"

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
