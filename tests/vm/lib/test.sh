# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What every tests/vm/*.test begins with: a work directory that goes away with everything that runs in it,
# ouassister on that directory, and one line a check on standard output.

set -u

test_lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=tests/vm/lib/guest.sh
. "$test_lib/guest.sh"

ouassister=$(readlink -f "${OUASSISTER:-$test_lib/../../../build/ouassister}")
if [ ! -x "$ouassister" ]; then
	echo "no program at $ouassister: build it, or name it in OUASSISTER" >&2
	exit 1
fi

# The work directory is short: unix sockets live in it.
work=$(mktemp -d /var/tmp/oua-test.XXXXXX)
test_vms=()      # "DIRECTORY NAME": their processes are killed at the end
test_undo=()     # commands to run at the end, last first
export OUASSISTER_STATE_DIR=$work/state OUASSISTER_RUN_DIR=$work/run OUASSISTER_CONFIG_DIR=$work/config
mkdir -m 0700 "$work/state" "$work/run" "$work/config"

test_end() {
	local status=$? i
	local -a vm
	for i in "${test_vms[@]}"; do
		read -r -a vm <<<"$i"
		vm_kill "${vm[@]}"
	done
	for ((i = ${#test_undo[@]} - 1; i >= 0; i--)); do
		eval "${test_undo[i]}"
	done
	test_mounts_gone
	if [ -n "${KEEP_WORK:-}" ]; then
		echo "kept: $work" >&2
	else
		rm -rf --one-file-system "$work"
	fi
	exit "$status"
}
trap test_end EXIT
trap 'exit 130' INT TERM HUP

# Nothing may stay mounted, whatever happened: a failure of its own.
test_mounts_gone() {
	local left
	left=$(awk -v work="$work/" 'index($5, work) == 1 { print $5 }' /proc/self/mountinfo)
	[ -n "$left" ] || return 0
	not_ok "nothing stays mounted" "$left"
	sort -r <<<"$left" | while read -r mount; do
		umount -l "$mount"
	done
}

ok() {
	echo "ok $*"
}

# not_ok NAME [WHY]: WHY goes to the log.
not_ok() {
	echo "not ok $1"
	[ -z "${2:-}" ] || printf '%s\n' "$1: $2" >&2
}

skip() {
	echo "skip $*"
}

# check NAME COMMAND...: the command succeeds.
check() {
	local name=$1
	shift
	if "$@" >&2; then
		ok "$name"
	else
		not_ok "$name" "failed ($?): $*"
		return 1
	fi
}

# equal NAME EXPECTED ACTUAL
equal() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "expected '$2', is '$3'"
		return 1
	fi
}

# json_true NAME FILE EXPRESSION: what jq says of FILE is true.
json_true() {
	if [ -s "$2" ] && jq -e "$3" "$2" >/dev/null; then
		ok "$1"
	else
		not_ok "$1" "not so: $3 in: $(head -c 4000 "$2")"
		return 1
	fi
}

# must COMMAND...: what the rest of the test needs; ends it otherwise.
must() {
	"$@" >&2 && return
	not_ok "$(basename "$0" .test): preparation" "failed: $*"
	exit 1
}

# new_vm GUEST-RECIPE NAME [PORT]: a suspended VM of its own: $work/NAME.vm. Sets vm_guest to the cached guest.
new_vm() {
	vm_guest=$(guest_suspended "$1") || exit 1
	must vm_copy "$vm_guest" "$work" "$2" "$(sed -n 's/^network=//p' "$guest_recipes/$1")" "${3:-0}"
	test_vms+=("$work $2")
}

# The VM file of NAME.
vm_file() {
	echo "$work/$1.vm"
}

# run_oua STATUS NAME ARGUMENT...: ouassister ARGUMENT..., which must end with STATUS; output in $work/out, $work/err.
run_oua() {
	local expected=$1 name=$2 status
	shift 2
	"$ouassister" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	cat "$work/err" >&2
	if [ "$status" = "$expected" ]; then
		ok "$name"
	else
		not_ok "$name" "ouassister $* ended with $status, not $expected: $(tail -n 5 "$work/err")"
		return 1
	fi
}

# says NAME PATTERN: the last error names it.
says() {
	if grep -qiE -- "$2" "$work/err"; then
		ok "$1"
	else
		not_ok "$1" "'$2' is not in: $(cat "$work/err")"
		return 1
	fi
}

# hash_of FILE...: one line that changes when any of them does.
hash_of() {
	sha256sum -- "$@" | sha256sum | cut -d' ' -f1
}

# guest NAME SHELL-TEXT: in the running guest, as root.
guest() {
	vm_exec "$work" "$1" -t "${guest_timeout:-900}" /bin/sh -c \
		"export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; $2"
}

# survivors NAME: those processes of the cached guest's list which no restart of a service may touch, as they are now.
survivors() {
	guest "$1" 'cut -d" " -f1,2,22 /proc/1/stat /proc/2/stat $(pgrep -x sleep | sed "s,.*,/proc/&/stat,")' | sort
}

# survivors_before: the same, as they were when the cached guest was suspended.
survivors_before() {
	grep -E '^(1|2) |\(sleep\)' "$vm_guest/processes" | sort
}

# check_versions NAME UPDATE-JSON: the guest has the versions that the emulation promised.
check_versions() {
	jq -r '(.packages + (.late.packages // []))[] | select(.new) | "\(.name) \(.new)"' "$2" | sort >"$work/promised"
	guest "$1" "dpkg-query -W -f '\${db:Status-Status} \${binary:Package} \${Version}\n'" | sed -n 's/^installed //p' | sort >"$work/has"
	check "$1: has the promised versions" test -s "$work/promised" -a -z "$(comm -23 "$work/promised" "$work/has")"
}

# sums_in BUNDLE: "SHA256  /PATH" of each file of its layer. deleted_in BUNDLE: each path that it deletes.
# Read with tar and sha256sum, so that no code of ours judges itself.
sums_in() {
	zstd -qdc "$1" | tar -x --warning=no-unknown-keyword --exclude='.wh.*' --to-command='printf "%s  /%s\n" "$(sha256sum | cut -d" " -f1)" "$TAR_FILENAME"'
}

deleted_in() {
	zstd -qdc "$1" | tar -t --warning=no-unknown-keyword | sed -nE '/\/?\.wh\.\.wh\.opq$/d; s,(^|/)\.wh\.([^/]+)$,\1\2,p' | sed 's,^,/,'
}

# check_files NAME BUNDLE [LATE]: what the bundle's layer holds is in the guest, what it deletes is not; of two that are
# chained, what the second says of a path counts.
check_files() {
	local n
	: >"$work/late-sums"
	: >"$work/late-deleted"
	if [ -n "${3:-}" ]; then
		sums_in "$3" >"$work/late-sums"
		deleted_in "$3" >"$work/late-deleted"
	fi
	sums_in "$2" | cat "$work/late-sums" - | awk -v deleted="$work/late-deleted" '
		BEGIN { while ((getline path <deleted) > 0) gone[path] = 1 }
		!seen[substr($0, 67)]++ && !gone[substr($0, 67)]' >"$work/sums"
	n=$(wc -l <"$work/sums")
	must vm_put "$work" "$1" "$work/sums" /run/sums
	if guest "$1" 'sha256sum --quiet -c /run/sums' >&2; then
		ok "$1: $n files of the bundle have their checksums"
	else
		not_ok "$1: $n files of the bundle have their checksums"
	fi
	deleted_in "$2" | cat "$work/late-deleted" - | awk -v written="$work/late-sums" '
		BEGIN { while ((getline line <written) > 0) back[substr(line, 67)] = 1 }
		!back[$0]' >"$work/deleted"
	must vm_put "$work" "$1" "$work/deleted" /run/deleted
	equal "$1: $(wc -l <"$work/deleted") deleted paths are gone" '' "$(guest "$1" \
		'while IFS= read -r path; do [ ! -e "$path" ] && [ ! -L "$path" ] || echo "$path"; done </run/deleted')"
}

# check_disk NAME: the disk of the guest, shut down, is clean.
check_disk() {
	must qemu-img convert -U -O raw "$work/$1.qcow2" "$work/$1.raw"
	check "$1: e2fsck -fn finds nothing" e2fsck -fn "$work/$1.raw?offset=2097152"
	rm "$work/$1.raw"
}

# bundle_of NAME: the path of the bundle that waits.
bundle_of() {
	"$ouassister" show --json "$(vm_file "$1")" 2>/dev/null | jq -r .bundle
}
