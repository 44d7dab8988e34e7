# Runs the parts of a tier (make check, make test, make verify), times each and prints a summary.
# Sourced from the checkout's root, after naming the tier:
#
#   tier="make check"
#   source tests/lib/parts.sh
#
# A part is a command that also works alone. Its output is kept in target/parts.

source tests/lib/console.sh

tier_started=$SECONDS
parts_log=$target/parts/${tier// /-}
rm -rf "$parts_log"
mkdir -p "$parts_log"

part_names=()
declare -A part_command part_process
left_lines=()
running=""

# log_of NAME: the file with a part's output.
log_of() {
    echo "$parts_log/${1//[^A-Za-z0-9]/-}.log"
}

# timed LOG COMMAND…: runs a command; seconds, and CPU seconds of user and system, go to LOG.time.
timed() {
    local log=$1 TIMEFORMAT='%0R %0U %0S'
    shift
    { time "$@" >&3 2>&1 </dev/null; } 3>&1 2>"$log.time"
}

# announce NAME COMMAND…: remembers a part.
announce() {
    part_names+=("$1")
    part_command[$1]="${*:2}"
}

# part NAME COMMAND…: runs a part and shows its output.
part() {
    local name=$1 log
    shift
    announce "$name" "$@"
    running=$name
    log=$(log_of "$name")
    timed "$log" "$@" | tee "$log"
    running=""
}

# start NAME COMMAND…: runs a part in the background, after those that were started before it: more than two
# compilers at a time would only use memory. Its output is shown by `finish`.
start() {
    local name=$1 log before=${last_started:-}
    shift
    announce "$name" "$@"
    log=$(log_of "$name")
    note "in the background: $name"
    # A process group of its own, so that `stop_background` reaches what the part has started.
    set -m
    {
        [[ -z $before ]] || tail --pid "$before" --follow /dev/null
        timed "$log" "$@"
    } >"$log" 2>&1 &
    set +m
    last_started=$!
    part_process[$name]=$last_started
}

# finish NAME…: waits for background parts and shows their output.
finish() {
    local name status
    for name; do
        running=$name
        status=0
        wait "${part_process[$name]}" || status=$?
        unset "part_process[$name]"
        cat "$(log_of "$name")"
        ((status == 0)) || exit "$status"
        running=""
    done
}

# left_to TIER WHAT…: tests that this tier leaves to the next one.
left_to() {
    left_lines+=("$(printf '  left to %-12s %s' "$1" "${*:2}")")
}

stop_background() {
    local process
    for process in "${part_process[@]}"; do
        kill -TERM -- "-$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
}

# tests WORD: the number of tests that `passed` or `failed`, as cargo counts them.
tests() {
    { cat "$parts_log"/*.log 2>/dev/null || true; } |
        sed -n "s/^.*test result: .* \([0-9]\+\) $1.*/\1/p" | awk '{ sum += $1 } END { print sum + 0 }'
}

summary() {
    local status=$? name seconds user system failed
    stop_background
    printf '\n%s%s: what ran, in seconds (elapsed, CPU)%s\n' "$bold" "$tier" "$plain"
    for name in "${part_names[@]}"; do
        if read -r seconds user system <"$(log_of "$name").time"; then
            printf '  %-46s %5d %5d\n' "$name" "$seconds" $((user + system))
        else
            printf '  %-46s %s\n' "$name" "not finished"
        fi
    done 2>/dev/null
    ((${#left_lines[@]} == 0)) || printf '%s\n' "${left_lines[@]}"
    failed=$(tests failed)
    printf '%s passed, %s failed\n' "$(tests passed)" "$failed"
    if ((status == 0 && failed == 0)); then
        printf '%s✓ %s passed in %s s%s\n' "$green" "$tier" $((SECONDS - tier_started)) "$plain"
        return
    fi
    printf '%s✗ %s failed after %s s, in: %s. Run it alone: %s%s\n' "$red" "$tier" \
        $((SECONDS - tier_started)) "${running:-the script}" "${part_command[$running]:-$tier}" "$plain"
    exit $((status == 0 ? 1 : status))
}
trap summary EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
