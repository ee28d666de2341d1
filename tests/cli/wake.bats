#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A VM that is put to sleep and woken without an update: a machine with nothing but its firmware.

load web1

setup() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64 here"
	make_vm
	sed -i -e 's/^disk .*/&\ngate = none/' -e '/^\[channel\]/,$d' \
		-e 's/^command .*/command = qemu-system-x86_64 -m 16 -nodefaults -display none -drive file=web1.qcow2,if=virtio -qmp unix:web1.qmp,server=on,wait=off -pidfile web1.pid/' \
		"$OUASSISTER_CONFIG_DIR/web1.vm"
	rm "$OUASSISTER_CONFIG_DIR/web1.mig"
	cd "$OUASSISTER_CONFIG_DIR" || return
	qemu-img create -q -f qcow2 web1.qcow2 16M
	qemu-system-x86_64 -m 16 -nodefaults -display none -drive file=web1.qcow2,if=virtio \
		-qmp unix:web1.qmp,server=on,wait=off -pidfile web1.pid 3>&- &
	for _ in {1..100}; do [ ! -S web1.qmp ] || break; sleep 0.1; done
}

teardown() {
	[ ! -s "$BATS_TEST_TMPDIR/web1.pid" ] || kill -KILL "$(cat "$BATS_TEST_TMPDIR/web1.pid")"
}

# ends STATUS WORD...: the command ends with that status.
ends() {
	run timeout -k 5 60 "$OUASSISTER" "${@:2}"
	echo "${*:2}: status $status: $output"
	[ "$status" -eq "$1" ]
}

@test "what an earlier update left to go back to outlives a sleep" {
	local until=$(($(date +%s) + 1000))
	stands_at open "{\"keep_until_s\": $until, \"late\": {\"applied\": true, \"error\": null, \"packages\": [\"linux\"]}}"
	ends 0 suspend web1
	ends 6 rollback web1
	[[ "$output" == *web1:*'resume --without-update, then roll back'* ]]
	ends 0 status web1
	[[ "$output" != *'rollback until'* ]]
	ends 0 resume --without-update web1
	[[ "$output" == *'rollback until'* && "$output" != *'next boot'* ]]
	"$OUASSISTER" status --json web1 >out
	jq -e --argjson until "$until" '.state == "open" and .keep_until_s == $until and .report.late.applied' out
	ends 5 resume --without-update web1
	[[ "$output" == *'nothing to wake'* ]]
}

@test "a bundle is given up when the VM is woken without it, and not before" {
	local bundle
	ends 0 suspend web1
	bundle=$(echo "$OUASSISTER_STATE_DIR"/web1-*)/bundle
	echo 'waits' >"$bundle"
	ends 1 resume web1
	sed -i 's/-m 16/-m 32/' web1.vm
	ends 1 resume --without-update web1
	[ -e "$bundle" ]
	sed -i 's/-m 32/-m 16/' web1.vm
	ends 0 resume --without-update web1
	[[ "$output" == *"$bundle: removed"* ]]
	[ ! -e "$bundle" ]
}
