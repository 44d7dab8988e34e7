# The settings of a release, from the environment, and their mistakes. Sourced from the checkout's root, after
# deploy/build/console.sh. `deploy/release/run` says what each of them means.

images=(webhook proxy proxy-init azwi)
chart=workload-identity-webhook
release=dist/release

PLATFORMS=${PLATFORMS:-linux/amd64,linux/arm64}
BUILD=${BUILD:-yes}
PLAIN_HTTP=${PLAIN_HTTP:-no}
TRANSPARENCY_LOG=${TRANSPARENCY_LOG:-no}
export PLATFORMS BUILD
IFS=, read -ra platforms <<<"$PLATFORMS"

# What each program needs for a registry without TLS.
skopeo_options=() helm_options=() cosign_options=()
if [[ $PLAIN_HTTP == yes ]]; then
    skopeo_options=(--tls-verify=false) helm_options=(--plain-http) cosign_options=(--allow-http-registry)
fi

# mistakes: prints a line for each mistake in the settings.
mistakes() {
    local cargo changed platform name
    cargo=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    if [[ -z ${VERSION:-} ]]; then
        echo "VERSION is not set: the version in Cargo.toml is $cargo"
    elif [[ $VERSION != "$cargo" ]]; then
        echo "VERSION=$VERSION is not the version of this checkout, which is $cargo: check out the tag v$VERSION"
    fi
    if [[ -z ${REGISTRY:-} ]]; then
        echo "REGISTRY is not set: host[:port]/path, for example registry.example.com/azure-workload-identity"
    elif ! [[ $REGISTRY =~ ^([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$ ]]; then
        echo "REGISTRY=$REGISTRY is not host[:port]/path, without scheme, without a last slash and in lower case"
    fi
    if [[ -z ${COSIGN_KEY:-} ]]; then
        echo "COSIGN_KEY is not set: a private key of cosign's (cosign generate-key-pair), or the URI of a key, for example azurekms://…"
    elif [[ $COSIGN_KEY != *://* && ! -r $COSIGN_KEY ]]; then
        echo "COSIGN_KEY=$COSIGN_KEY is not a readable file"
    elif [[ $COSIGN_KEY != *://* && -z ${COSIGN_PASSWORD+set} && ! -t 0 ]]; then
        echo "COSIGN_PASSWORD is not set: the password of COSIGN_KEY, which may be empty"
    fi
    for platform in "${platforms[@]}"; do
        case $platform in
            linux/amd64 | linux/arm64) ;;
            *) echo "PLATFORMS has $platform: linux/amd64 and linux/arm64 are supported" ;;
        esac
    done
    for name in BUILD PLAIN_HTTP TRANSPARENCY_LOG; do
        [[ ${!name} == yes || ${!name} == no ]] || echo "$name=${!name} is neither yes nor no"
    done
    if ! changed=$(git status --porcelain); then
        echo "this is not a git checkout, so the release cannot name its commit"
    elif [[ -n $changed ]]; then
        echo "the checkout is not clean, so the release would not be that of its commit: $(head -n 3 <<<"$changed" | xargs)"
    fi
}

# archive PLATFORM IMAGE: the path of an image's archive, as deploy/build/images writes it.
archive() {
    case $(uname --machine)/$1 in
        x86_64/linux/amd64 | aarch64/linux/arm64) echo "dist/$2.tar" ;;
        *) echo "dist/${1#linux/}/$2.tar" ;;
    esac
}

# digest_of IMAGE: the digest of an image's index, once `deploy/release/indexes` has written it.
digest_of() {
    jq --raw-output '.manifests[0].digest' "$release/images/$1/index.json"
}

# fail TEXT…: says why there is no release, and ends.
fail() {
    printf '%s✗ %s%s\n' "$red" "$*" "$plain" >&2
    exit 1
}
