#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Saved domains of Xen: what the verbs say of a PV domain with systemd, which was saved by `xl save` of Xen 4.17 and told
# the same of itself (./check xen), and what becomes of damaged files. No part of Xen is needed. Of the domain's memory
# only the pages are there that the walks read.

load web1

setup() {
	make_vm
	cd "$BATS_TEST_TMPDIR"
	zstd -qd "$BATS_TEST_DIRNAME/../data/kernel-6.1-pv.xen.zst" -o guest
	export OUASSISTER_XEN_SAVE_DIR=$PWD
}

@test "services of a file given by --memory, in place of a VM file, and by xen:NAME" {
	"$OUASSISTER" services --memory guest --json >first
	jq -c '.services[] | [.unit, .pids]' first >found
	diff - found <<-'END'
		["actor.service",[207]]
		["cron.service",[166]]
		["dbus.service",[167]]
		["getty@tty1.service",[182]]
		["init.scope",[1]]
		["nginx.service",[191,192]]
		["ssh.service",[190]]
		["systemd-journald.service",[123]]
		["systemd-logind.service",[173]]
		["systemd-udevd.service",[149]]
		["truth.service",[175]]
	END
	"$OUASSISTER" services ./guest --json >second
	"$OUASSISTER" services xen:guest --json >third
	cmp first second
	cmp first third
}

@test "processes, mounts and mappings" {
	"$OUASSISTER" ps --memory guest --json >out
	jq -e '[.processes[] | select(.pid == 192)][0] | .uid == 33 and .ppid == 191 and .cmdline[0] == "nginx: worker process" and
		.cgroup == "/system.slice/nginx.service"' out
	jq -e '[.processes[] | select(.comm == "xenwatch")] | length == 1' out
	"$OUASSISTER" mounts --memory guest --json >out
	jq -e '.mounts[0] | .source == "/dev/xvda2" and .fstype == "ext4" and .target == "/"' out
	"$OUASSISTER" maps --memory guest --pid 1 --json >out
	jq -e '[.maps[].path] | index("/usr/lib/systemd/systemd") != null' out
	[ "$("$OUASSISTER" cat --memory guest /run/nginx.pid)" = 191 ]
}

@test "files that were cut off say where they end" {
	size=$(stat -c %s guest)
	for part in 30 47 500 3000 100000 $((size / 2)) $((size - 1)); do
		head -c "$part" guest >cut
		status=0
		"$OUASSISTER" ps --memory cut >out 2>err || status=$?
		echo "$part: $status: $(cat err)"
		[ "$status" = 1 ]
		[ ! -s out ]
		grep -q "the file ends at byte $part" err
		grep -qi "incomplete" err
	done
}

@test "a domain's file where the disk is not here" {
	run "$OUASSISTER" exec xen:guest -- true
	echo "$status: $output"
	[ "$status" = 125 ]
	[[ $output =~ cannot\ find\ the\ disk:\ /dev/vdb.*driver\ =\ xen ]]
	run "$OUASSISTER" ps xen:other
	[ "$status" = 2 ]
	[[ $output =~ xl\ save ]]
	run "$OUASSISTER" services xen:../guest
	[ "$status" = 2 ]
}
