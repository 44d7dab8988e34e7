# Shared by the test scripts. Sourced from the checkout's root.

source deploy/build/console.sh

export SDK_DIRECTORY="$cache/sdk"

# The images on the test node. `run_cluster` makes the last one: registry.example.com/curl:v1.
images=(dist/{webhook,proxy,proxy-init,azwi,curl}.tar)

# build_cluster: builds the programs that `run_cluster` needs. `test_programs` builds them too.
build_cluster() {
    cargo build --quiet --locked -p cluster -p azure-emulator
}

# run_cluster COMMAND…: runs a command on a test node, which has no network but its own.
run_cluster() {
    tests/lib/curl-image dist/curl.tar
    "$target/debug/cluster" run "${images[@]/#/--image=}" -- "$@"
}

# test_programs PACKAGE: builds all tests and sets `programs` to those of a package, in the order of their names.
test_programs() {
    local listed
    listed=$(tests/lib/run-tests --list "$1")
    mapfile -t programs <<<"$listed"
}

# test_program PACKAGE NAME: builds all tests and prints the path of one.
test_program() {
    tests/lib/run-tests --list "$1" | grep "/$2-[0-9a-f]*$"
}

# unpacked PACKAGE: prints the folder of a Debian package, which is unpacked and not installed, because installing it
# would start a server.
unpacked() {
    local folder=$cache/$1 part
    if [[ ! -d $folder ]]; then
        note "fetching $1" >&2
        part=$(mktemp -d)
        (
            cd "$part"
            { apt-get download "$1" || { apt-get update && apt-get download "$1"; }; } >/dev/null 2>&1
            dpkg-deb --extract "$1"_*.deb unpacked
        ) || { echo "$1 is missing: unpack Debian's package into $folder" >&2; return 1; }
        mv "$part/unpacked" "$folder"
        rm -rf "$part"
    fi
    echo "$folder"
}

# libraries PROGRAM…: prints the shared libraries of programs of this machine, their loader included.
libraries() {
    ldd "$@" | grep --only-matching '/lib[^ ]*[^: ]' | sort --unique
}
