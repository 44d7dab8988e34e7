# Output and paths of the scripts. Sourced from the checkout's root.

set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/azure-workload-identity"
target="${CARGO_TARGET_DIR:-$PWD/target}"

if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

# step TEXT: prints a heading.
step() {
    printf '\n%s▸ %s%s\n' "$bold" "$*" "$plain"
}

# note TEXT: prints a detail.
note() {
    printf '%s  %s%s\n' "$dim" "$*" "$plain"
}

# provide PROGRAM PACKAGE: installs the Debian package unless the program is there.
provide() {
    command -v "$1" >/dev/null && return
    note "installing $2" >&2
    local install=(apt-get install --yes --no-install-recommends "$2")
    "${install[@]}" >/dev/null 2>&1 || { apt-get update && "${install[@]}"; } >/dev/null ||
        { echo "$1 is missing: ${install[*]}" >&2; return 1; }
}

# trim_documents: removes blank lines at the end of each YAML document, of which versions of helm leave different numbers.
trim_documents() {
    awk '/^---/ { held = "" } /^[[:space:]]*$/ { held = held $0 "\n"; next } { printf "%s%s\n", held, $0; held = "" }'
}
