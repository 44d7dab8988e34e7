# What the parts of tests/release/run share. Sourced in the released checkout, after tests/lib/console.sh.

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
page=docs/supply-chain.md
images=(webhook proxy proxy-init azwi)
chart=workload-identity-webhook
# The name is that of another variable in the documents' commands.
repository=$REGISTRY

# release: makes the release.
release() {
    make --no-print-directory release VERSION="$version" COSIGN_KEY=cosign.key
}

# digest NAME TAG: what the registry has.
digest() {
    skopeo inspect --raw --tls-verify=false "docker://$repository/$1:$2" | sha256sum | sed 's/ .*//; s/^/sha256:/'
}

# expect WHAT FOUND WANTED: compares.
expect() {
    [[ $2 == "$3" ]] || { printf '%s is\n%s\ninstead of\n%s\n' "$1" "$2" "$3" >&2; exit 1; }
}

# documented PAGE TEXT [PLACEHOLDER=VALUE…]: prints the one block of shell lines in a page that contains a text, with
# placeholders such as <version> replaced.
documented() {
    local block replacement
    block=$(awk -v text="$2" '
        /^ *```sh$/ { block = ""; inside = 1; next }
        /^ *```$/ { if (inside && index(block, text)) { printf "%s", block; found++ } inside = 0; next }
        inside { block = block $0 "\n" }
        END { exit found != 1 }' "$1") || { echo "$1 does not have one block with $2" >&2; return 1; }
    for replacement in "${@:3}"; do
        [[ $block == *"<${replacement%%=*}>"* ]] || { echo "$1 has no <${replacement%%=*}> in the block with $2" >&2; return 1; }
        block=${block//"<${replacement%%=*}>"/${replacement#*=}}
    done
    if grep -oE '<[a-z ]+>' <<<"$block" >&2; then
        echo "these placeholders are left in the block of $1 with $2" >&2
        return 1
    fi
    echo "$block"
}
