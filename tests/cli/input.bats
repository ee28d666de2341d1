#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What the user names and writes down, and what of it is refused: with where, what, and what to do.
#
# shellcheck disable=SC2030,SC2031 # each test has its own environment

load web1

# refused STATUS PATTERN WORD...: the command ends by itself with that status and says PATTERN.
refused() {
	run timeout -k 5 20 "$OUASSISTER" "${@:3}"
	echo "${*:3}: status $status: $output"
	[ "$status" -eq "$1" ]
	[[ "$output" =~ $2 ]]
}

# with_line GROUP LINE: web1's VM file as setup() has it, and the line in that group.
with_line() {
	setup
	printf '[%s]\n%s\n' "$1" "$2" >>"$OUASSISTER_CONFIG_DIR/web1.vm"
}

@test "a fifo, a device or a directory where a file is wanted" {
	local odd
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	mkdir "$BATS_TEST_TMPDIR/directory"
	for odd in "$BATS_TEST_TMPDIR/fifo" /dev/zero "$BATS_TEST_TMPDIR/directory"; do
		setup
		refused 2 "$odd.*(no ordinary file|is a directory)" status "$odd"
		refused 2 "$odd.*(no ordinary file|is a directory)" update "$odd"
		refused 2 "$odd.*no ordinary file" update web1 "--conffiles=$odd"
		refused 2 "$odd.*no ordinary file" update web1 "--preseed=$odd"
		refused 2 "$odd.*no ordinary file" update web1 "--sign-key=$odd"
		with_line update "sources = $odd"
		refused 2 "web1\.vm.*sources.*$odd" status web1
		with_line update "conffiles = $odd"
		refused 2 "$odd.*no ordinary file" update web1
	done
}

@test "a value of the VM file is refused with where, which and why" {
	with_line vm 'disk = other.qcow2'
	refused 2 'web1\.vm: line 1[0-9]: key "disk" stands in \[vm\] a second time' status web1
	with_line update 'verify-key ='
	refused 2 'web1\.vm: key "verify-key" in \[update\] is empty' status web1
	[[ "$output" == *'leave it out'* ]]
	with_line update 'proxy = http://proxy:99999'
	refused 2 'web1\.vm: key "proxy" in \[update\] is "http://proxy:99999"' status web1
	with_line channel 'port = 99999'
	refused 2 'web1\.vm: key "port".*99999.*1 to 65535' status web1
	setup
	sed -i 's/^command .*/command = ""/' "$OUASSISTER_CONFIG_DIR/web1.vm"
	refused 2 'web1\.vm: key "command" in \[qemu\] names no program' status web1
}

@test "a VM file that anybody may write" {
	chmod 666 "$OUASSISTER_CONFIG_DIR/web1.vm"
	refused 0 'warning: .*web1\.vm: anybody may write it.*0666' status web1
	chmod 664 "$OUASSISTER_CONFIG_DIR/web1.vm"
	run "$OUASSISTER" status web1
	[[ "$output" != *warning* ]]
}

@test "a file whose name cannot be a VM's" {
	cd "$BATS_TEST_TMPDIR"
	for name in ./-x.vm ./.vm ./.hidden.vm './a b.vm'; do
		cp web1.vm "$name"
		refused 2 "cannot be a VM's name" status "$name"
		[[ "$output" == *'rename the file'* ]]
	done
}

@test "options that say nothing, or what cannot be" {
	local option
	for option in --conffiles --preseed --sign-key --max-disk --timeout --state-dir; do
		refused 2 "$option is given an empty value" update web1 "$option="
		refused 2 "$option is given an empty value" update web1 "$option" ''
	done
	refused 2 '--keep: none, or a time .*"x"' resume web1 --keep=x
	refused 2 '--keep: none, or a time .*"1"' resume web1 --keep=1
	refused 2 '--wait: "0" is not a whole number from 1' resume web1 --wait=0
	refused 2 '--wait: " 5" is not a whole number' resume web1 '--wait= 5'
	refused 2 'nothing stands behind --' update web1 --
	refused 2 'nothing stands behind --' update --json web1 --
	for option in --max-processes=1 --max-memory=1 --max-memory=15M --max-disk=1M --max-open-files=127; do
		refused 2 "${option%=*}.*(least|from)" update web1 "$option"
	done
	refused 2 '--max-memory: 99999999T is more than' update web1 --max-memory=99999999T
	refused 2 '--max-memory: 99999999999999999999 is more than' update web1 --max-memory=99999999999999999999
	truncate -s 2M "$BATS_TEST_TMPDIR/large"
	refused 2 'large: 2097152 bytes are no answers for debconf' update web1 "--preseed=$BATS_TEST_TMPDIR/large"
}

@test "a rollback of a VM that was turned off" {
	stands_at open '{"keep_until_s": 4000000000}'
	rm "$BATS_TEST_TMPDIR/web1.mig"
	refused 1 'web1: the VM does not run' rollback web1
	[[ "$output" == *'start it with the "command"'* ]]
}

@test "a rollback of a VM that somebody else has suspended" {
	stands_at open '{"keep_until_s": 4000000000}'
	refused 6 'web1: the VM sleeps' rollback web1
	[[ "$output" == *'resume --without-update'* ]]
	[[ "$output" != *'"command"'* ]]
}

@test "who is not root is told so" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	local place verb
	# Where others may look at all.
	place=$(mktemp -d)
	chmod 755 "$place"
	cp "$OUASSISTER" "$BATS_TEST_TMPDIR"/web1.* "$place"
	export OUASSISTER_CONFIG_DIR=$place OUASSISTER_STATE_DIR=$place/state OUASSISTER_RUN_DIR=$place/run
	stands_at open
	chmod 700 "$OUASSISTER_STATE_DIR"/web1-*
	mkdir "$OUASSISTER_RUN_DIR"
	for verb in status update; do
		run setpriv --reuid=65534 --regid=65534 --clear-groups "$place/ouassister" "$verb" "$place/web1.vm"
		echo "status $status: $output"
		[ "$status" -eq 1 ] || break
		[[ "$output" == *'only root may'* && "$output" != *'remove it'* ]] || break
		verb=
	done
	rm -r "$place"
	[ -z "$verb" ]
}

@test "a state file of another version" {
	stands_at open
	sed -i 's/"version": 1/"version": 7/' "$OUASSISTER_STATE_DIR"/web1-*/state.json
	refused 1 'state\.json.*of another version' status web1
	refused 1 'state\.json.*of another version' resume web1
}

@test "a state file that is none" {
	local state
	stands_at open
	state=$(echo "$OUASSISTER_STATE_DIR"/web1-*/state.json)
	rm "$state"
	mkfifo "$state"
	refused 1 "$state.*no ordinary file" status web1
	[[ "$output" == *"remove it"* ]]
}
