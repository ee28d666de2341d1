# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A VM file that says enough for all that needs no running VM, and directories of the test's own. Loaded by bats files;
# one with a setup() of its own calls make_vm() in it.
#
# shellcheck disable=SC2154 # status and output are those of run

make_vm() {
	export OUASSISTER_CONFIG_DIR=$BATS_TEST_TMPDIR OUASSISTER_STATE_DIR=$BATS_TEST_TMPDIR/state
	export OUASSISTER_RUN_DIR=$BATS_TEST_TMPDIR/run
	: "${OUASSISTER:=$BATS_TEST_DIRNAME/../../build/ouassister}"
	cat >"$BATS_TEST_TMPDIR/web1.vm" <<-END
		[vm]
		driver  = qemu
		# a comment on a line of its own
		memory  = web1.mig
		disk    = web1.qcow2
		format  = qcow2
		[qemu]
		command = qemu-system-x86_64 -m 512
		qmp     = web1.qmp
		[channel]
		type    = agent
		agent   = web1.qga
	END
	touch "$BATS_TEST_TMPDIR/web1.mig" "$BATS_TEST_TMPDIR/web1.qcow2"
}

setup() {
	make_vm
}

# refuses PATTERN: the last run was a usage error that says PATTERN and printed nothing else.
refuses() {
	echo "status $status: $output"
	[ "$status" -eq 2 ]
	[[ "$output" =~ $1 ]]
}

# stands_at STATE [REPORT]: web1 does; REPORT is that of its last resume, null without.
stands_at() {
	local file=$OUASSISTER_CONFIG_DIR/web1.vm directory
	directory=$OUASSISTER_STATE_DIR/web1-$(printf %s "$(readlink -f "$file")" | sha256sum | cut -c1-8)
	mkdir -p "$directory"
	jq -n --arg state "$1" --arg file "$file" --argjson report "${2:-null}" \
		'{version: 1, state: $state, vm_file: $file, report: $report}' >"$directory/state.json"
}
