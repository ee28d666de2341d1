#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What the user names and writes down, and what of it is refused: with where, what, and what to do.

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

@test "a state file that is none" {
	local state
	stands_at open
	state=$(echo "$OUASSISTER_STATE_DIR"/web1-*/state.json)
	rm "$state"
	mkfifo "$state"
	refused 1 "$state.*no ordinary file" status web1
	[[ "$output" == *"remove it"* ]]
}
