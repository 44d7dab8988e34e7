#!/bin/sh
# Stands in for `az`: writes each call to the file $AZ_CALLS, an argument a line and an empty line after the last. Fails
# when a call runs already, as Azure does, and where an argument has the text $AZ_FAILS.
mkdir "$AZ_CALLS.lock" || exit 9
trap 'rmdir "$AZ_CALLS.lock"' EXIT
for argument in "$@"; do
	printf '%s\n' "$argument" >>"$AZ_CALLS"
	case "$argument" in
	*"${AZ_FAILS:-nothing fails}"*)
		echo 'ERROR: (AuthorizationFailed) no right to write' >&2
		exit 1
		;;
	esac
done
echo >>"$AZ_CALLS"
