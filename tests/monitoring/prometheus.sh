# Prometheus for tests. Sourced after tests/lib/console.sh.

# prometheus_program NAME: prints the path of prometheus or promtool, of Debian's package.
prometheus_program() {
    local folder
    folder=$(unpacked prometheus)
    echo "$folder/usr/bin/$1"
}

# rules FILE…: prints files of the chart, which are lists of rules, as one file for Prometheus.
rules() {
    printf 'groups:\n  - name: azure-workload-identity\n    rules:\n'
    sed 's/^/      /' "$@"
}
