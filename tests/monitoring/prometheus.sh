# Prometheus for tests. Sourced after tests/lib/console.sh.

# prometheus_program NAME: prints the path of prometheus or promtool, of Debian's package. The package is unpacked and
# not installed, because installing it starts a server.
prometheus_program() {
    local unpacked=$cache/prometheus
    if [[ ! -x $unpacked/usr/bin/$1 ]]; then
        note "fetching prometheus" >&2
        local part
        part=$(mktemp -d)
        (
            cd "$part"
            { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } >/dev/null 2>&1
            dpkg-deb --extract prometheus_*.deb unpacked
        ) || { echo "prometheus is missing: unpack Debian's package into $unpacked" >&2; return 1; }
        rm -rf "$unpacked"
        mv "$part/unpacked" "$unpacked"
        rm -rf "$part"
    fi
    echo "$unpacked/usr/bin/$1"
}

# rules FILE…: prints files of the chart, which are lists of rules, as one file for Prometheus.
rules() {
    printf 'groups:\n  - name: azure-workload-identity\n    rules:\n'
    sed 's/^/      /' "$@"
}
