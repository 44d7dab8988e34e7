# Debian's docker-registry, for tests. Sourced after tests/lib/console.sh.

# start_registry FOLDER: starts one with its files in a folder, on a free port of loopback, and sets `address`. The
# caller ends `registry_process`.
start_registry() {
    local program
    program=$(unpacked docker-registry)/usr/bin/docker-registry
    mkdir -p "$1"
    cat >"$1/config.yml" <<CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: $1/storage}}
http: {addr: "127.0.0.1:0"}
log: {level: info, accesslog: {disabled: true}}
CONFIG
    : >"$1/log"
    "$program" serve "$1/config.yml" >>"$1/log" 2>&1 &
    registry_process=$!
    address=$(timeout 60 tail --pid $registry_process --lines=+1 --follow "$1/log" |
        sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p;T;q') || true
    [[ -n $address ]] || { cat "$1/log" >&2; echo "docker-registry does not listen" >&2; return 1; }
}
