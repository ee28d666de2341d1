# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# One test VM = DIRECTORY/NAME.vm, the VM file ouassister reads, and what it names: NAME.mig, NAME.qcow2, sockets.
# The functions here start, stop and ask it without ouassister.

vm_tool=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/vmtool

# vm_command NAME DISK NETWORK MEMORY PORT: how a guest is started; its sockets are NAME.qmp and NAME.qga.
# NETWORK: user (the host's 127.0.0.1:PORT leads to the guest's ssh; 0 = nowhere) or tap (device tap-NAME).
vm_command() {
	local name=$1 disk=$2 network=$3 memory=$4 port=$5 nic
	case $network in
	user)
		nic="-netdev user,id=net0"
		[ "$port" = 0 ] || nic+=",hostfwd=tcp:127.0.0.1:$port-:22"
		nic+=" -device virtio-net-pci,netdev=net0,addr=3,mac=52:54:00:12:34:56"
		;;
	tap)
		nic="-netdev tap,id=net0,ifname=tap-$name,script=no,downscript=no"
		nic+=" -device virtio-net-pci,netdev=net0,addr=4,mac=52:54:00:12:34:57"
		;;
	esac
	echo "qemu-system-x86_64 -M pc -accel tcg,thread=multi -m $memory -display none -serial file:$name.console" \
		"-monitor none -qmp unix:$name.qmp,server=on,wait=off" \
		"-drive file=$disk,format=qcow2,if=none,id=disk0 -device virtio-blk-pci,drive=disk0,addr=5" \
		"$nic -device virtio-serial-pci,addr=6 -chardev socket,path=$name.qga,server=on,wait=off,id=qga0" \
		"-device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0 -device virtio-rng-pci,addr=7"
}

# vm_define DIRECTORY NAME DISK NETWORK MEMORY [PORT]: writes the VM file.
vm_define() {
	cat >"$1/$2.vm" <<-END
		[vm]
		driver = qemu
		memory = $2.mig
		disk   = $3
		format = qcow2
		[qemu]
		command = $(vm_command "$2" "$3" "$4" "$5" "${6:-0}")
		qmp     = $2.qmp
		[channel]
		type    = agent
		agent   = $2.qga
	END
}

# vm_start DIRECTORY NAME [OPTION...]: runs the command of the VM file, with more options.
vm_start() (
	cd "$1" || exit
	name=$2
	shift 2
	read -r -a argv <<<"$(sed -n 's/^command = //p' "$name.vm")"
	rm -f "$name.qmp" "$name.qga"
	setsid "${argv[@]}" "$@" >"$name.log" 2>&1 </dev/null 9>&- &
	for _ in $(seq 100); do
		[ ! -S "$name.qmp" ] || return 0
		sleep 0.1
	done
	cat "$name.log" >&2
	return 1
)

# vm_pid DIRECTORY NAME: the process behind the QMP socket, nothing where there is none.
vm_pid() {
	(cd "$1" && [ -S "$2.qmp" ] && "$vm_tool" pid "$2.qmp" 2>/dev/null) || true
}

# vm_await_load DIRECTORY NAME: until the memory image given by -incoming is loaded.
vm_await_load() {
	local deadline=$((SECONDS + 300))
	while [ "$SECONDS" -lt "$deadline" ]; do
		case $(vm_qmp "$1" "$2" query-status) in
		*'"status":"inmigrate"'*) sleep 0.2 ;;
		*) return 0 ;;
		esac
	done
	return 1
}

# vm_wake DIRECTORY NAME: loads NAME.mig and lets the guest run, with its network, as nothing but QEMU would.
vm_wake() {
	vm_start "$1" "$2" -incoming "exec:cat $2.mig" -S
	vm_await_load "$1" "$2"
	vm_qmp "$1" "$2" cont >/dev/null
}

# vm_set_clock DIRECTORY NAME: the guest's clock stood still while it slept.
vm_set_clock() {
	vm_exec "$1" "$2" /bin/date -s "@$(date +%s)" >/dev/null
}

# vm_kill DIRECTORY NAME: ends its process, as a power cut would; harmless where there is none.
vm_kill() {
	local pid
	pid=$(vm_pid "$1" "$2")
	[ -n "$pid" ] || return 0
	kill -KILL "$pid" 2>/dev/null || true
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.1
	done
}

vm_qmp() {
	(cd "$1" && shift && "$vm_tool" qmp "$1.qmp" "${@:2}")
}

# vm_wait DIRECTORY NAME SECONDS: until the guest agent answers.
vm_wait() {
	(cd "$1" && "$vm_tool" ping "$2.qga" "$3")
}

# vm_exec DIRECTORY NAME [-t SECONDS] ARGV...: runs a program in the guest through its agent.
vm_exec() {
	(cd "$1" && "$vm_tool" exec "$2.qga" "${@:3}")
}

# vm_put DIRECTORY NAME FILE GUEST-PATH
vm_put() {
	(cd "$1" && "$vm_tool" put "$2.qga" "$3" "$4")
}

# vm_save_by_hand DIRECTORY NAME: what a user types into the monitor; NAME.mig is complete when it returns.
vm_save_by_hand() {
	vm_qmp "$1" "$2" stop >/dev/null
	vm_qmp "$1" "$2" migrate "{\"uri\":\"exec:cat>$2.mig\"}" >/dev/null
	while :; do
		case $(vm_qmp "$1" "$2" query-migrate) in
		*'"status":"completed"'*) break ;;
		*'"status":"failed"'*) return 1 ;;
		esac
		sleep 0.5
	done
	vm_quit "$1" "$2"
}

# vm_quit DIRECTORY NAME: asks QEMU to end and waits for it.
vm_quit() {
	local pid
	pid=$(vm_pid "$1" "$2")
	vm_qmp "$1" "$2" quit >/dev/null
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.1
	done
}

# vm_power_off DIRECTORY NAME SECONDS: a clean shutdown from inside; fails where it takes longer.
vm_power_off() {
	local pid deadline=$((SECONDS + $3))
	pid=$(vm_pid "$1" "$2")
	vm_exec "$1" "$2" /bin/systemctl --no-block poweroff
	while kill -0 "$pid" 2>/dev/null; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.5
	done
}

# free_port: a TCP port nobody listens on.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 20000))
		ss -Htln "sport = :$port" | grep -q . || break
	done
	echo "$port"
}

# vm_copy GUEST DIRECTORY NAME NETWORK [PORT]: a suspended VM of its own, from the cached GUEST, without touching that.
vm_copy() {
	local guest=$1 directory=$2 name=$3
	qemu-img create -q -f qcow2 -F qcow2 -b "$guest/disk.qcow2" "$directory/$name.qcow2"
	cp --reflink=auto "$guest/memory.mig" "$directory/$name.mig"
	vm_define "$directory" "$name" "$name.qcow2" "$4" 512 "${5:-0}"
}
