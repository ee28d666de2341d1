# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Building guests. A guest is cached twice under ${OUASSISTER_TEST_CACHE:-/var/cache/ouassister-tests}:
#
#   disk-NAME-KEY/   disk.qcow2 and the ssh key that opens it; never booted
#   guest-NAME-KEY/  disk.qcow2 (an overlay of the above), memory.mig: booted once, settled, then suspended by hand
#
# KEY is a hash over the recipe, the steps below and the package index the disk was built from. A directory
# is filled under another name and renamed, so one that is there is complete. Nobody writes to it again:
# tests work on an overlay of the disk and a copy of the memory (vm.sh).
#
# No package source is written here: they come from the host's apt, or from a file of one-line
# sources in OUASSISTER_TEST_SOURCES.

guest_lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
guest_recipes=$guest_lib/../recipes
# shellcheck source=tests/vm/lib/vm.sh
. "$guest_lib/vm.sh"
guest_cache=${OUASSISTER_TEST_CACHE:-/var/cache/ouassister-tests}

guest_die() {
	echo "guest: $*" >&2
	exit 1
}

# guest_sources SUITE: the sources of Debian SUITE as "deb URI POCKET main", release pocket first.
# The host may run another release than the guest: only its archives' places are used.
guest_sources() {
	local suite=$1
	if [ -n "${OUASSISTER_TEST_SOURCES:-}" ]; then
		grep '^deb ' "$OUASSISTER_TEST_SOURCES"
		return
	fi
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 'Component: main' |
		sort -u | awk -F'|' -v suite="$suite" '
		$1 == "Debian" && $2 == "Debian" && !release { release = $3 }
		$1 == "Debian" && $2 == "Debian-Security" && !security { security = $3 }
		END {
			if (release) {
				print "deb " release " " suite " main"
				print "deb " release " " suite "-updates main"
			}
			if (security)
				print "deb " security " " suite "-security main"
		}'
}

# guest_index_version URI SUITE: what identifies the packages there are: changes with each point release only.
guest_index_version() {
	local temporary
	temporary=$(mktemp -d)
	if ! /usr/lib/apt/apt-helper download-file "$1/dists/$2/InRelease" "$temporary/InRelease" >/dev/null 2>&1; then
		rm -r "$temporary"
		guest_die "cannot read $1/dists/$2/InRelease"
	fi
	awk '$3 == "main/binary-amd64/Packages.xz" && length($1) == 64 { print $1 }' "$temporary/InRelease"
	rm -r "$temporary"
}

# guest_hash TEXT...: 12 hex digits over the texts.
guest_hash() {
	printf '%s\n' "$@" | sha256sum | cut -c1-12
}

# --- the tree --- #

# guest_customize TREE HOSTNAME UUID PUBLIC-KEY: runs on the unpacked tree, before it becomes a disk.
guest_customize() {
	local tree=$1 hostname=$2 uuid=$3 public_key=$4

	echo "$hostname" >"$tree/etc/hostname"
	printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost\n' "$hostname" >"$tree/etc/hosts"
	printf 'UUID=%s / ext4 errors=remount-ro 0 1\n' "$uuid" >"$tree/etc/fstab"
	tr -d - </proc/sys/kernel/random/uuid >"$tree/etc/machine-id"

	# The slot says the network: 3 is QEMU's user mode, 4 a tap (vm.sh gives them so).
	cat >"$tree/etc/network/interfaces" <<-END
		auto lo
		iface lo inet loopback
		allow-hotplug ens3
		iface ens3 inet dhcp
		allow-hotplug ens4
		iface ens4 inet static
			address 192.168.77.2/24
			gateway 192.168.77.1
	END

	install -d -m 0700 "$tree/root/.ssh"
	install -m 0600 "$public_key" "$tree/root/.ssh/authorized_keys"

	cat >>"$tree/etc/default/grub" <<-END
		GRUB_TIMEOUT=0
		GRUB_CMDLINE_LINUX_DEFAULT=""
		GRUB_CMDLINE_LINUX="console=ttyS0,115200"
		GRUB_TERMINAL=console
		GRUB_DISABLE_OS_PROBER=true
	END

	# Would wake up by itself, at a random time, and take apt's locks from under a measurement.
	chroot "$tree" systemctl -q disable apt-daily.timer apt-daily-upgrade.timer
	guest_apt_proxy >"$tree/etc/apt/apt.conf.d/90host-proxy"
	[ -s "$tree/etc/apt/apt.conf.d/90host-proxy" ] || rm "$tree/etc/apt/apt.conf.d/90host-proxy"
}

# The host's proxies are part of its sources.
guest_apt_proxy() {
	apt-config dump | grep -E '^Acquire::(http|https|ftp)::Proxy ' || true
}

# guest_grub TREE UUID: writes TREE's grub configuration and, beside the tree, boot.img and core.img as
# grub's setup would install them in a GPT disk whose BIOS boot partition begins at sector 2048.
# The loop kernels of many hosts parse no partition tables, and grub-install wants real devices, so the two
# images are made by hand once; the first boot then runs the guest's own grub-install over them.
guest_grub() {
	local tree=$1 uuid=$2 out=$3 start=2048 kernel
	kernel=$(basename "$tree"/boot/vmlinuz-*)
	cat >"$tree/boot/grub/grub.cfg" <<-END
		linux /boot/$kernel root=UUID=$uuid ro console=ttyS0,115200
		initrd /boot/initrd.img-${kernel#vmlinuz-}
		boot
	END
	cat >"$tree/tmp/early.cfg" <<-END
		search.fs_uuid $uuid root
		set prefix=(\$root)/boot/grub
	END
	chroot "$tree" grub-mkimage -O i386-pc -o /tmp/core.img -c /tmp/early.cfg -p /boot/grub \
		biosdisk part_gpt ext2 search_fs_uuid normal linux configfile echo
	cp "$tree/usr/lib/grub/i386-pc/boot.img" "$out/boot.img"
	mv "$tree/tmp/core.img" "$out/core.img"
	rm "$tree/tmp/early.cfg"

	# boot.img: where core.img begins (le64 at 92), and the drive check made NOPs (at 102) as for any hard disk.
	guest_patch "$out/boot.img" 92 "$(guest_le64 $start)"
	guest_patch "$out/boot.img" 102 '\x90\x90'
	# core.img: its first sector loads the rest, which begins in the next sector (le64 at 500).
	guest_patch "$out/core.img" 500 "$(guest_le64 $((start + 1)))"
}

guest_le64() {
	local value=$1
	for _ in 1 2 3 4 5 6 7 8; do
		printf '\\x%02x' $((value & 255))
		value=$((value >> 8))
	done
}

# guest_patch FILE OFFSET ESCAPED-BYTES
guest_patch() {
	# shellcheck disable=SC2059 # the bytes are the format
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# --- the disk --- #

# guest_partitions IMAGE MIB: an empty GPT disk, BIOS boot and root partition (from sector 4096).
guest_partitions() {
	truncate -s "$2M" "$1"
	sfdisk -q "$1" <<-END
		label: gpt
		start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649
		start=4096, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
	END
}

# guest_make_disk NAME DIRECTORY: builds recipe NAME's disk.
guest_make_disk() {
	local out=$2 uuid suite disk_mib hostname packages
	# shellcheck source=/dev/null
	. "$guest_recipes/$1"
	uuid=$(cat /proc/sys/kernel/random/uuid)
	guest_sources "$suite" >"$out/sources.list"
	[ -s "$out/sources.list" ] ||
		guest_die "the host's apt knows no Debian archive: name one in OUASSISTER_TEST_SOURCES, or run apt-get update"
	head -n 1 "$out/sources.list" >"$out/release.list"
	ssh-keygen -q -t ed25519 -N '' -C tests -f "$out/ssh_key"

	mkdir "$out/tree"
	mmdebstrap --quiet --mode=root --variant=minbase --components=main \
		--include="$(IFS=,; echo "${packages[*]}")" \
		--aptopt='APT::Install-Recommends "false"' --customize-hook='rm "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
		--essential-hook='echo grub-pc grub-pc/install_devices_empty boolean true | chroot "$1" debconf-set-selections' \
		"$suite" "$out/tree" - <"$out/release.list" >"$out/build.log" 2>&1 ||
		{ tail -n 20 "$out/build.log" >&2; guest_die "mmdebstrap failed"; }
	cp "$out/sources.list" "$out/tree/etc/apt/sources.list"
	guest_customize "$out/tree" "$hostname" "$uuid" "$out/ssh_key.pub"
	guest_grub "$out/tree" "$uuid" "$out"

	guest_partitions "$out/disk.raw" "$disk_mib"
	mke2fs -q -t ext4 -U "$uuid" -d "$out/tree" -E offset=$((4096 * 512)) "$out/disk.raw" $((disk_mib - 3))m
	dd if="$out/boot.img" of="$out/disk.raw" bs=440 count=1 conv=notrunc status=none
	dd if="$out/core.img" of="$out/disk.raw" bs=512 seek=2048 conv=notrunc status=none
	qemu-img convert -O qcow2 "$out/disk.raw" "$out/disk.qcow2"
	rm -r "$out/tree" "$out/disk.raw" "$out/boot.img" "$out/core.img" "$out/release.list"
}

# guest_fill DIRECTORY COMMAND...: fills DIRECTORY by COMMAND DIRECTORY, all or nothing; others who want it wait.
# COMMAND is a function of this file; it runs in a shell of its own, where errexit works whoever called us.
guest_fill() {
	local directory=$1 partial=$1.partial began=$SECONDS
	shift
	install -d -m 0700 "$guest_cache"
	(
		flock 9
		[ ! -d "$directory" ] || exit 0
		rm -rf "$partial"
		mkdir "$partial"
		echo "guest: building $(basename "$directory")" >&2
		"$@" "$partial" </dev/null >&2 9>&- || exit 1
		mv "$partial" "$directory"
		echo "guest: $(basename "$directory") took $((SECONDS - began)) s, $(du -sh "$directory" | cut -f1)" >&2
	) 9>"$directory.lock"
}

# guest_run FUNCTION ARGUMENT...
guest_run() {
	bash -euo pipefail -c '. "$0"; "$@"' "$guest_lib/guest.sh" "$@"
}

# The same without any network: nothing of a first boot may depend on what the network says that day.
guest_run_cut_off() {
	unshare --net bash -euo pipefail -c '. "$0"; "$@"' "$guest_lib/guest.sh" "$@"
}

# guest_disk NAME: prints the directory of recipe NAME's disk, building it where it is not there.
guest_disk() {
	local key directory suite
	suite=$(sed -n 's/^suite=//p' "$guest_recipes/$1")
	local release
	release=$(guest_sources "$suite" | head -n 1 | cut -d' ' -f2)
	[ -n "$release" ] ||
		guest_die "the host's apt knows no Debian archive: name one in OUASSISTER_TEST_SOURCES, or run apt-get update"
	key=$(guest_hash "$(cat "$guest_recipes/$1")" \
		"$(declare -f guest_make_disk guest_customize guest_grub guest_partitions)" "$(guest_sources "$suite")" \
		"$(guest_index_version "${release%/}" "$suite")") || return 1
	directory=$guest_cache/disk-$1-$key
	guest_fill "$directory" guest_run guest_make_disk "$1" || return 1
	echo "$directory"
}

# --- the suspended guest --- #

# What a first boot does in the guest. Besides grub: a process of nobody's service, so that no restart of a service ends
# it, and one that tries to reach the neighbour of the tap's bridge (gate.test) for ever.
guest_first_boot='
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	systemctl is-system-running --wait || systemctl --failed >&2
	grub-install /dev/vda
	update-grub
	systemd-run --quiet --scope setsid sleep 1000000 >/dev/null 2>&1 </dev/null &
	if [ -e /sys/class/net/ens4 ]; then
		systemd-run --quiet --scope setsid ping -q -i 0.2 192.168.77.3 >/dev/null 2>&1 </dev/null &
	fi
	sync
	sleep 5
	sync'

# guest_make_suspended NAME BASE DIRECTORY: boots a fresh copy once, lets it settle and suspends it as a user would by hand.
guest_make_suspended() {
	local base=$2 out=$3 disk network memory_mib began
	# shellcheck source=/dev/null
	. "$guest_recipes/$1"
	cp "$base/ssh_key" "$base/ssh_key.pub" "$out"
	qemu-img create -q -f qcow2 -F qcow2 -b "../$(basename "$base")/disk.qcow2" "$out/disk.qcow2"
	vm_define "$out" guest "$out/disk.qcow2" "$network" "$memory_mib"
	if [ "$network" = tap ]; then
		ip tuntap add tap-guest mode tap
		ip link set tap-guest up
	fi
	# shellcheck disable=SC2064 # the directory of now
	trap "vm_kill '$out' guest" EXIT
	began=$SECONDS
	vm_start "$out" guest
	vm_wait "$out" guest 900
	echo "guest: the agent answered after $((SECONDS - began)) s" >&2
	# The guest's own grub replaces the hand-made one, as an installer would have done it.
	vm_exec "$out" guest -t 600 /bin/sh -ec "$guest_first_boot" >"$out/first-boot.log" 2>&1 ||
		{ cat "$out/first-boot.log" >&2; guest_die "the first boot failed"; }
	# "pid (name) start-time" of what runs there, for tests that ask whether it lived on.
	vm_exec "$out" guest /bin/sh -c 'cat /proc/[0-9]*/stat' | sed -nE 's/^([0-9]+ \(.*\)) (\S+ ){19}([0-9]+) .*/\1 \3/p' \
		>"$out/processes"
	vm_save_by_hand "$out" guest
	echo "guest: booted and suspended in $((SECONDS - began)) s" >&2
	mv "$out/guest.mig" "$out/memory.mig"
	rm -f "$out"/guest.vm "$out"/guest.log "$out"/guest.qmp "$out"/guest.qga
}

# guest_suspended NAME: prints the directory of the suspended guest NAME, making it where it is not there.
guest_suspended() {
	local disk base key directory
	disk=$(sed -n 's/^disk=//p' "$guest_recipes/$1")
	base=$(guest_disk "$disk") || return 1
	key=$(guest_hash "$(basename "$base")" "$(cat "$guest_recipes/$1")" "$guest_first_boot" \
		"$(declare -f guest_make_suspended vm_command)" \
		"$(qemu-system-x86_64 --version | head -n 1)")
	directory=$guest_cache/guest-$1-$key
	guest_fill "$directory" guest_run_cut_off guest_make_suspended "$1" "$base" || return 1
	echo "$directory"
}
