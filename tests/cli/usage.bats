#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What the command line says without any VM that could run: help, usage errors, VM files.

load web1

@test "--help goes to standard output and names every verb" {
	run "$OUASSISTER" --help
	[ "$status" -eq 0 ]
	for verb in suspend inspect exec update show resume rollback gate status ps services mounts modules maps sockets dmesg cat ls diff-disk; do
		[[ "$output" == *"  $verb "* ]]
	done
}

@test "every verb explains itself" {
	for verb in suspend inspect exec update show resume rollback gate status ps services mounts modules maps sockets dmesg cat ls diff-disk; do
		run "$OUASSISTER" "$verb" --help
		[ "$status" -eq 0 ]
		[[ "$output" == *"$verb"* ]]
	done
}

@test "no verb, an unknown verb, an unknown option, a word too many" {
	run "$OUASSISTER"
	refuses 'no verb'
	run "$OUASSISTER" fly web1
	refuses 'fly'
	run "$OUASSISTER" show --wings web1
	refuses '--wings'
	run "$OUASSISTER" sockets -tz --memory nowhere
	refuses 'unknown option -z'
	run "$OUASSISTER" show --json=yes web1
	refuses '--json=yes: this option takes no value'
	run "$OUASSISTER" show web1 web2
	refuses 'web2'
	run "$OUASSISTER" resume --wait soon web1
	refuses 'soon'
	run "$OUASSISTER" resume --restart=some web1
	refuses 'some'
	run "$OUASSISTER" resume --keep=soon web1
	refuses 'soon'
	run "$OUASSISTER" resume --keep=-1d web1
	refuses '90min'
	run "$OUASSISTER" resume --verify=some web1
	refuses 'some'
	run "$OUASSISTER" resume --freeze=60001 web1
	refuses '60000'
	run "$OUASSISTER" resume --reboot=now web1
	refuses 'now'
	run "$OUASSISTER" ls web1 etc
	refuses 'etc: the path must be absolute'
	run "$OUASSISTER" cat web1 --fd 3
	refuses 'as in 431:3'
	run "$OUASSISTER" cat web1 --fd 3:4 /etc/passwd
	refuses 'one too many: /etc/passwd'
	run "$OUASSISTER" ls --memory web1.mig
	refuses 'it needs the VM'
	run "$OUASSISTER" update
	refuses 'which VM'
	run "$OUASSISTER" update --script-timeout soon web1
	refuses 'soon'
	run "$OUASSISTER" update --preseed=/nowhere web1
	refuses '/nowhere'
	run "$OUASSISTER" update --preseed=/dev/null web1
	refuses 'no ordinary file'
	run "$OUASSISTER" update --conffiles=old web1
	refuses 'keep, new, ask'
	printf 'keep /etc/x\nmaybe /etc/y\n' >"$BATS_TEST_TMPDIR/answers"
	run "$OUASSISTER" update "--conffiles=$BATS_TEST_TMPDIR/answers" web1
	refuses 'answers: line 2: "keep PATH" or "new PATH" expected'
	printf 'keep /etc/x\nnew /etc/x\n' >"$BATS_TEST_TMPDIR/answers"
	run "$OUASSISTER" update "--conffiles=$BATS_TEST_TMPDIR/answers" web1
	refuses 'line 2: a second answer about /etc/x'
}

@test "errors go to standard error only" {
	"$OUASSISTER" show nobody >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || true
	[ ! -s "$BATS_TEST_TMPDIR/out" ]
	[ -s "$BATS_TEST_TMPDIR/err" ]
}

@test "gate wants one of three words" {
	run "$OUASSISTER" gate web1
	refuses 'open, closed'
	run "$OUASSISTER" gate web1 ajar
	refuses 'ajar'
}

@test "no such VM" {
	run "$OUASSISTER" status nobody
	refuses 'nobody'
	run "$OUASSISTER" status ./nobody.vm
	refuses 'nobody'
}

@test "how long old files are kept is a time, in the VM file, too" {
	printf '[update]\nkeep = 0d\n' >>"$OUASSISTER_CONFIG_DIR/web1.vm"
	run "$OUASSISTER" status web1
	refuses 'web1\.vm.*keep.*0d'
	sed -i 's/0d/2w/' "$OUASSISTER_CONFIG_DIR/web1.vm"
	run "$OUASSISTER" status web1
	[ "$status" -eq 0 ]
}

@test "status says until when rollback is possible" {
	local until=$(($(date +%s) + 1000))
	stands_at open "{\"keep_until_s\": $until}"
	run "$OUASSISTER" status --json web1
	[ "$(jq .keep_until_s <<<"$output")" = "$until" ]
	run "$OUASSISTER" status web1
	[[ "$output" == *"rollback until   $(date -d "@$until" '+%F %T')"* ]]
	stands_at open-late "{\"keep_until_s\": $until}"
	run "$OUASSISTER" status --json web1
	[ "$(jq .keep_until_s <<<"$output")" = "$until" ]
	stands_at suspended "{\"keep_until_s\": $until}"
	run "$OUASSISTER" status --json web1
	jq -e '.state == "suspended" and (has("keep_until_s") | not)' <<<"$output"
	for until in 1000000000 null; do
		stands_at open "{\"keep_until_s\": $until}"
		run "$OUASSISTER" status --json web1
		jq -e '.state == "open" and (has("keep_until_s") | not)' <<<"$output"
	done
}

@test "an unknown key names key and file" {
	sed -i 's/^driver /colour = blue\n&/' "$OUASSISTER_CONFIG_DIR/web1.vm"
	run "$OUASSISTER" status web1
	refuses 'web1\.vm.*colour'
}

@test "an unknown group names group and file" {
	echo '[kvm]' >>"$OUASSISTER_CONFIG_DIR/web1.vm"
	run "$OUASSISTER" status web1
	refuses 'web1\.vm.*kvm'
}

@test "a missing key is named" {
	sed -i '/^disk/d' "$OUASSISTER_CONFIG_DIR/web1.vm"
	run "$OUASSISTER" status web1
	refuses 'web1\.vm.*disk'
}

@test "bad values are named" {
	for change in 's/= qemu$/= vmware/' 's/^format .*/format = vmdk/' 's/= agent$/= pigeon/' 's/^command .*/command = "qemu/'; do
		setup
		sed -i "$change" "$OUASSISTER_CONFIG_DIR/web1.vm"
		run "$OUASSISTER" status web1
		refuses 'web1\.vm'
	done
}

@test "a file that is no VM file" {
	head -c 4096 /dev/urandom >"$OUASSISTER_CONFIG_DIR/web1.vm"
	run "$OUASSISTER" status web1
	refuses 'web1\.vm'
}

@test "status of a VM nothing is known of, as JSON" {
	"$OUASSISTER" status --json web1 >"$BATS_TEST_TMPDIR/out"
	jq -e '.version == 1 and .vm == "web1" and .state == "none"' "$BATS_TEST_TMPDIR/out"
}

@test "status of all VMs where there is none" {
	"$OUASSISTER" status --json >"$BATS_TEST_TMPDIR/out"
	jq -e '.version == 1 and .vms == []' "$BATS_TEST_TMPDIR/out"
}

@test "show without a bundle: nothing to do" {
	run "$OUASSISTER" show web1
	echo "$output"
	[ "$status" -eq 6 ]
}

@test "a path and a name are the same VM" {
	cd "$OUASSISTER_CONFIG_DIR"
	[ "$("$OUASSISTER" status --json web1)" = "$("$OUASSISTER" status --json ./web1.vm)" ]
}

@test "a memory image that is none" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	echo 'nothing of the kind' >"$OUASSISTER_CONFIG_DIR/web1.mig"
	qemu-img create -q -f qcow2 "$OUASSISTER_CONFIG_DIR/web1.qcow2" 16M
	run "$OUASSISTER" update web1
	echo "$output"
	[ "$status" -eq 1 ]
	[[ "$output" == *web1.mig* ]]
}

@test "bash completes verbs, options and VMs" {
	source "$BATS_TEST_DIRNAME/../../src/cli/ouassister.bash"
	# completes EXPECTED WORD...: what the last word can become.
	completes() {
		COMP_WORDS=("$OUASSISTER" "${@:2}") COMP_CWORD=$(($# - 1))
		_ouassister "$OUASSISTER"
		echo "${COMPREPLY[*]}"
		[ "${COMPREPLY[*]}" = "$1" ]
	}
	completes 'show' sh
	completes 'maps' ma
	completes '--layout' ps --l
	completes '--list --layout' mounts --l
	completes '--threads' ps --memory file --t
	completes '' show --memory
	completes 'web1' show w
}

@test "exec: every failure of its own is 125, before there is a VM too" {
	local words
	fails() {
		run "$OUASSISTER" exec "$@"
		echo "exec $*: status $status: $output"
		[ "$status" -eq 125 ]
	}
	fails
	fails web1
	[[ "$output" =~ 'which program' ]]
	fails web1 -- ''
	fails --wings web1 -- true
	fails --json web1 -- true
	fails --memory web1.mig -- true
	[[ "$output" =~ 'disk' ]]
	fails --tty --no-tty web1 -- true
	fails --env NAME web1 -- true
	fails --env =VALUE web1 -- true
	fails --workdir tmp web1 -- true
	fails --timeout soon web1 -- true
	for words in '--max-memory 0' '--max-memory 1X' '--max-memory 99999999T' '--max-disk -1' '--max-processes 0' '--max-open-files many'; do
		# shellcheck disable=SC2086 # two words
		fails $words web1 -- true
		[[ "$output" =~ 'max-' ]]
	done
	fails nobody -- true
	[[ "$output" =~ 'no such VM file' ]]
}

@test "exec: an option of the program is not ours" {
	run "$OUASSISTER" exec nobody -- ls --wings
	[ "$status" -eq 125 ]
	[[ "$output" =~ 'no such VM file' ]]
}
