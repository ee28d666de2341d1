# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# libvirtd and its guests for a test, beside the host's own if it has one: in mount and process namespaces of their own,
# with configuration, state and sockets below the work directory, so that all that runs ends with the test.
#
# First libvirt_namespaces, then test.sh, then libvirt_start.
# shellcheck disable=SC2154 # test.sh's work

# libvirt_namespaces "$0" "$@": the test begins again in namespaces of its own.
libvirt_namespaces() {
	[ -z "${OUA_LIBVIRT_NAMESPACES:-}" ] || return 0
	export OUA_LIBVIRT_NAMESPACES=1
	exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$@"
}

libvirt_places=(/etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /run/libvirt)

# libvirt_start [COMMAND...]: libvirtd and virtlogd run, started by COMMAND (as "ip netns exec NAME"). QEMU runs as a user
# who may read and write nothing but what libvirtd gives to it.
libvirt_start() {
	local place
	libvirt_within=("$@")
	for place in "${libvirt_places[@]}"; do
		mkdir -p "$work/libvirt$place"
		[ -d "$place" ] || test_undo+=("rmdir $place 2>/dev/null")
		must mkdir -p "$place"
		must mount --bind "$work/libvirt$place" "$place"
		test_undo+=("umount -l $place")
	done
	# What the package would bring.
	mkdir -p /var/lib/libvirt/dnsmasq /var/lib/libvirt/images
	# The user of QEMU has to find his disks.
	chmod 0711 "$work"
	cat >/etc/libvirt/libvirtd.conf <<-END
		auth_unix_rw = "none"
		unix_sock_rw_perms = "0700"
	END
	# The user that Debian's libvirt runs QEMU as has this number on every host.
	cat >/etc/libvirt/qemu.conf <<-END
		user = "+64055"
		group = "+64055"
		security_driver = "none"
		cgroup_controllers = []
		vnc_tls = 0
		${LIBVIRT_QEMU_CONF:-}
	END
	libvirt_daemons
	test_undo+=(libvirt_stop)
}

libvirt_daemons() {
	[ -s /run/libvirt/virtlogd.pid ] || must virtlogd -d -p /run/libvirt/virtlogd.pid
	must "${libvirt_within[@]}" libvirtd -d -p /run/libvirt/libvirtd.pid
	for _ in {1..300}; do
		[ ! -S /run/libvirt/libvirt-sock ] || virsh -q uri >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	must false "libvirtd does not come up"
}

# libvirt_restart: libvirtd reads anew which hooks there are; its guests run on.
libvirt_restart() {
	local pid
	pid=$(cat /run/libvirt/libvirtd.pid)
	kill "$pid"
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.1
	done
	libvirt_daemons
}

# Guests first: what they write is below the work directory.
libvirt_stop() {
	local pid
	for pid in /run/libvirt/qemu/*.pid /run/libvirt/*.pid /run/libvirt/network/*.pid; do
		[ ! -s "$pid" ] || kill -KILL "$(cat "$pid")" 2>/dev/null
	done
	sleep 0.5
}

virsh() {
	command virsh -q -c qemu:///system "$@"
}

# libvirt_xml NAME DISK [MORE-DEVICES [MORE-OF-THE-DISK]]: a domain like the guests of vm.sh. Of its two cards one is on
# the bridge virbr-oua, and one has no device of the host behind it.
libvirt_xml() {
	cat <<-END
		<domain type='qemu'>
		  <name>$1</name>
		  <memory unit='MiB'>512</memory>
		  <vcpu>1</vcpu>
		  <os><type arch='x86_64' machine='pc'>hvm</type></os>
		  <features><acpi/></features>
		  <devices>
		    <emulator>/usr/bin/qemu-system-x86_64</emulator>
		    <disk type='file' device='disk'>
		      <driver name='qemu' type='qcow2'/>
		      <source file='$2'/>
		      <target dev='vda' bus='virtio'/>
		      ${4:-}
		    </disk>
		    <interface type='network'>
		      <mac address='52:54:00:12:34:57'/>
		      <source network='oua'/>
		      <model type='virtio'/>
		      <address type='pci' domain='0' bus='0' slot='4' function='0'/>
		    </interface>
		    <interface type='user'>
		      <mac address='52:54:00:12:34:58'/>
		      <model type='virtio'/>
		      <address type='pci' domain='0' bus='0' slot='6' function='0'/>
		    </interface>
		    <serial type='pty'/>
		    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
		    <memballoon model='none'/>
		    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
		    ${3:-}
		  </devices>
		</domain>
	END
}

# libvirt_define ARGUMENT...: of libvirt_xml.
libvirt_define() {
	libvirt_xml "$@" >"$work/$1.xml"
	must virsh define "$work/$1.xml"
}

# libvirt_network: libvirt's own bridge, without firewall rules or a DHCP server of its own.
libvirt_network() {
	cat >"$work/network.xml" <<-END
		<network>
		  <name>oua</name>
		  <forward mode='open'/>
		  <bridge name='virbr-oua' stp='off' delay='0'/>
		  <dns enable='no'/>
		  <ip address='192.168.77.1' netmask='255.255.255.0'/>
		</network>
	END
	must virsh net-define "$work/network.xml"
	must virsh net-start oua
}

# libvirt_agent NAME JSON: one command to the guest's agent.
libvirt_agent() {
	virsh qemu-agent-command "$1" --timeout "${3:-10}" "$2"
}

# libvirt_wait NAME SECONDS: until the guest's agent answers.
libvirt_wait() {
	local deadline=$((SECONDS + $2))
	until libvirt_agent "$1" '{"execute":"guest-ping"}' >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.5
	done
}

# libvirt_guest NAME SHELL-TEXT: in the running guest, as root; its output, its status.
libvirt_guest() {
	local answer pid text
	text=$(jq -cn --arg text "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; $2" \
		'{execute: "guest-exec", arguments: {path: "/bin/sh", arg: ["-c", $text], "capture-output": true}}')
	answer=$(libvirt_agent "$1" "$text") || return 125
	pid=$(jq .return.pid <<<"$answer")
	while :; do
		answer=$(libvirt_agent "$1" "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":$pid}}") || return 125
		[ "$(jq .return.exited <<<"$answer")" != true ] || break
		sleep 0.2
	done
	jq -r '.return["out-data"] // ""' <<<"$answer" | base64 -d
	jq -r '.return["err-data"] // ""' <<<"$answer" | base64 -d >&2
	return "$(jq '.return.exitcode // 128' <<<"$answer")"
}

# libvirt_disk GUEST NAME: $work/NAME.qcow2, an overlay of a plain copy of the guest's disk.
libvirt_disk() {
	must qemu-img convert -O qcow2 "$1/disk.qcow2" "$work/$2.base"
	must qemu-img create -q -f qcow2 -F qcow2 -b "$2.base" "$work/$2.qcow2"
}

# libvirt_keep NAME: what the sleeping domain is, for libvirt_renew.
libvirt_keep() {
	must cp "$work/$1.qcow2" "$work/$1.kept"
	must cp "/var/lib/libvirt/qemu/save/$1.save" "$work/$1.save"
}

# libvirt_renew NAME: the domain sleeps again as libvirt_keep had it, and ouassister knows nothing of it.
libvirt_renew() {
	[ "$(virsh domstate "$1")" = "shut off" ] || must virsh destroy "$1"
	[ ! -e "/var/lib/libvirt/qemu/save/$1.save" ] || must virsh managedsave-remove "$1"
	must cp "$work/$1.kept" "$work/$1.qcow2"
	must virsh restore "$work/$1.save" --paused
	must virsh managedsave "$1" --running
	rm -rf "$work/state" "$work"/run/*
}
