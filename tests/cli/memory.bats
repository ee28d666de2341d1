#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The verbs that read memory: usage, files that are no memory image, how output ends, and what they say of the two
# guests of tests/data. What they say of whole guests is compared in tests/vm.

load web1

setup() {
	make_vm
	data=$(realpath "$BATS_TEST_DIRNAME/../data")
	# Real guests, of whose memory only the pages are there that the walks read.
	memory=$data/kernel-7.2.core.zst
	old_memory=$data/kernel-5.10.core.zst
	cd "$BATS_TEST_TMPDIR"
	all_verbs
	[ "${#verbs[@]}" -gt 0 ]
}

# All of them, as the program itself lists them.
all_verbs() {
	mapfile -t verbs < <("$OUASSISTER" --completion | sed -n 's/^\([a-z]*\) .*--memory .*/\1/p')
}

# words VERB: what it needs besides the memory.
words() {
	case $1 in
	cat) echo /run/messages ;;
	maps) echo --pid=1 ;;
	esac
}

# all_refuse STATUS PATTERN ARGUMENT...: every verb ends with that status and says PATTERN, and nothing on standard
# output.
all_refuse() {
	local wanted=$1 pattern=$2 verb status
	shift 2
	for verb in "${verbs[@]}"; do
		status=0
		# shellcheck disable=SC2046
		timeout 20 "$OUASSISTER" "$verb" "$@" $(words "$verb") >out 2>err || status=$?
		echo "$verb $*: status $status: $(head -c 300 err)"
		[ "$status" -eq "$wanted" ]
		grep -qE "$pattern" err
		[ ! -s out ]
	done
}

# oua VERB ARGUMENT...: of the newer guest.
oua() {
	"$OUASSISTER" "$1" --memory "$memory" "${@:2}"
}

# has_lines FILE: each line of standard input is a line of FILE.
has_lines() {
	local line
	while IFS= read -r line; do
		grep -qxF -- "$line" "$1" || { echo "not in $1: $line" && return 1; }
	done
}

# debian: $memory is a whole Debian guest's, or the test is skipped.
debian() {
	for memory in "${OUASSISTER_TEST_CACHE:-/var/cache/ouassister-tests}"/guest-*/memory.mig; do
		[ ! -r "$memory" ] || return 0
	done
	skip "no Debian guest was built yet (./check vm builds some)"
}

@test "help names the memory's options, and both ways to call" {
	for verb in "${verbs[@]}"; do
		run "$OUASSISTER" "$verb" --help
		[ "$status" -eq 0 ]
		[[ "$output" == *"ouassister $verb VM"* ]]
		[[ "$output" == *"ouassister $verb --memory FILE"* ]]
		for option in --memory --btf --layout --snapshot --json; do
			[[ "$output" == *"$option"* ]]
		done
	done
}

@test "neither a VM nor a file" {
	for verb in "${verbs[@]}"; do
		run "$OUASSISTER" "$verb"
		[ "$status" -eq 2 ]
		[[ "$output" == *"which VM? (or --memory FILE)"* ]]
	done
}

@test "--memory without a name" {
	for verb in "${verbs[@]}"; do
		for name in '' -; do
			# shellcheck disable=SC2046
			run "$OUASSISTER" "$verb" --memory "$name" $(words "$verb")
			[ "$status" -eq 2 ]
			[[ "$output" == *"needs the name of a file"* || "$output" == *"--memory is given an empty value"* ]]
		done
	done
}

@test "--memory and a VM are one too many" {
	for verb in "${verbs[@]}"; do
		# shellcheck disable=SC2046
		run "$OUASSISTER" "$verb" --memory memory $(words "$verb") web1
		[ "$status" -eq 2 ]
		[[ "$output" == *web1* ]]
	done
}

@test "verbs that read no memory do not know its options" {
	run "$OUASSISTER" show --memory memory
	[ "$status" -eq 2 ]
	[[ "$output" == *--memory* ]]
}

@test "a file that is not there" {
	all_refuse 1 'nowhere.mig' --memory nowhere.mig
}

@test "an empty file" {
	: >empty
	all_refuse 1 'empty' --memory empty
}

@test "random bytes" {
	head -c 1M /dev/urandom >random
	all_refuse 1 'random.*not a memory image' --memory random
}

@test "a directory, a device, a fifo" {
	mkdir directory
	mkfifo fifo
	all_refuse 1 'directory.*not a regular file' --memory directory
	all_refuse 1 '/dev/zero.*not a regular file' --memory /dev/zero
	all_refuse 1 'fifo.*not a regular file' --memory fifo
}

@test "a file that may not be read" {
	[ "$(id -u)" -ne 0 ] || skip "root may read everything"
	: >secret
	chmod 0 secret
	all_refuse 1 'secret' --memory secret
}

@test "a file that was cut off" {
	head -c 2M "$memory" >cut
	all_refuse 1 'cut' --memory cut
}

@test "a whole memory without a kernel" {
	command -v python3 >/dev/null || skip "needs python3"
	python3 - <<-'END'
		import struct
		with open("blank.core", "wb") as f:
		    f.write(struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 4, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0))
		    f.write(struct.pack("<IIQQQQQQ", 1, 7, 4096, 0, 0, 1 << 20, 1 << 20, 0))
		    f.truncate(4096 + (1 << 20))
	END
	all_refuse 3 'no Linux kernel' --memory blank.core
}

@test "a VM without a memory image" {
	rm web1.mig
	# inspect and cat look at the disk instead, as of a VM that was shut down; nothing is on this one.
	verbs=(inspect cat)
	all_refuse 1 'web1.qcow2' web1
	all_verbs
	mapfile -t verbs < <(printf '%s\n' "${verbs[@]}" | grep -vxE "inspect|cat")
	all_refuse 1 'there is no such memory image' web1
	: >web1.mig.spent
	all_refuse 4 'the memory image is spent' web1
}

@test "a full disk is noticed" {
	for verb in "${verbs[@]}"; do
		for json in '' --json; do
			status=0
			# shellcheck disable=SC2046,SC2086
			oua "$verb" $(words "$verb") $json >/dev/full 2>err || status=$?
			echo "$verb $json: $status: $(cat err)"
			[ "$status" -eq 1 ]
			grep -q 'standard output' err
		done
	done
}

@test "a reader who goes away is told nothing" {
	for verb in "${verbs[@]}"; do
		# shellcheck disable=SC2046
		oua "$verb" $(words "$verb") --json 2>err | head -c 1 >/dev/null
		echo "$verb: $(cat err)"
		[ ! -s err ]
	done
}

@test "standard descriptors that are closed are not taken for files" {
	for verb in "${verbs[@]}"; do
		status=0
		# shellcheck disable=SC2046
		oua "$verb" $(words "$verb") 2>err >&- || status=$?
		[ "$status" -eq 1 ]
		grep -q 'standard output' err
		# shellcheck disable=SC2046
		oua "$verb" $(words "$verb") >out
		# shellcheck disable=SC2046
		oua "$verb" $(words "$verb") >closed <&- 2>&-
		cmp out closed
	done
}

# $OUASSISTER_TEST_MEMORY may name one more image.
@test "JSON is one document with a version" {
	for memory in "$memory" "$old_memory" ${OUASSISTER_TEST_MEMORY:-}; do
		for verb in "${verbs[@]}"; do
			echo "$verb of $memory"
			[ "$verb" != cat ] || [ "$memory" != "${OUASSISTER_TEST_MEMORY:-}" ] || continue
			# shellcheck disable=SC2046
			oua "$verb" $(words "$verb") --json >out 2>err
			jq -es 'length == 1 and .[0].version == 1 and (.[0] | has("incomplete") | not)' out >/dev/null
			[ ! -s err ]
		done
	done
}

@test "a terminal gets nothing that could command it" {
	command -v script >/dev/null || skip "needs script(1)"
	lacks() { # PATTERN
		if LC_ALL=C grep -nP "$1" out; then
			return 1
		fi
	}
	for verb in "${verbs[@]}"; do
		for json in '' --json; do
			# What goes to standard error is the program's own.
			script -qec "'$OUASSISTER' $verb --memory '$memory' $(words "$verb") $json 2>err" /dev/null \
				</dev/null | tr -d '\r' >out
			echo "$verb $json"
			[ "$(wc -l <out)" -gt 0 ]
			iconv -f UTF-8 -t UTF-8 out >/dev/null
			lacks '[\x00-\x08\x0b-\x1f\x7f]'
			[ -z "$json" ] || lacks '[^\x20-\x7e]'
		done
	done
	script -qec "'$OUASSISTER' dmesg --memory '$memory' 2>err" /dev/null </dev/null | tr -d '\r' >out
	grep -F 'bytes \xff\x01 and a tab\t and an umlaut ä' out
}

@test "inspect: what the guest said of itself" {
	oua inspect --json >out
	jq -e '.kernel == "7.2.13+deb14-amd64" and .machine == "x86_64" and .hostname == "sleeper" and
		.kernel_version == "#1 SMP PREEMPT_DYNAMIC Debian 7.2.13-1 (2026-10-28)" and
		.boot_id == "f279ac9e-9972-4082-9565-3a015a65901d" and .os == null and .cpus.online == 1 and
		(.uptime_s > 19 and .uptime_s < 20) and .suspended_at_s == 1795355842 and .guest_mounts == 15 and
		([.interfaces[] | select(.name == "dummy0").addresses[]] | sort) ==
		["192.0.2.5/25", "198.51.100.1/32", "2001:db8::5/64", "fe80::11:22ff:fe33:4455/64"]' out
	"$OUASSISTER" inspect --memory "$old_memory" --json >out
	jq -e '.kernel == "5.10.0-32-cloud-amd64" and .boot_id == "f42511a3-88c4-4079-af9c-79dd1a49542d"' out
}

@test "ps: processes and threads" {
	oua ps --json >out
	jq -e '(.processes | length) == 86 and (.processes[] | select(.comm == "syslogd")) ==
		{"pid": 253, "tgid": 253, "ppid": 1, "uid": 0, "euid": 0, "gid": 0, "comm": "syslogd",
		"cmdline": ["syslogd", "-O", "/run/messages"], "state": "S", "start_s": 13.352625896,
		"cgroup": "/init.scope", "exe": "/bin/busybox"}' out
	oua ps --threads --json >out
	jq -e '(.processes | length) == 96' out
	# Bytes that are no UTF-8 are given again, whole.
	jq -e '[.processes[] | select(.cmdline_b64).cmdline_b64[0] | @base64d] | length > 0' out
	TZ=UTC oua ps >out
	has_lines out <<-'END'
		0              2       0  0 13:57 ?        00:00:00 [kthreadd]
		0            253       1  0 13:57 ?        00:00:00 syslogd -O /run/messages
	END
	"$OUASSISTER" ps --memory "$old_memory" --json >out
	jq -e '(.processes | length) == 70 and any(.processes[]; .pid == 228 and .comm == "syslogd")' out
}

@test "services: units and their processes" {
	oua services --json >out
	jq -ce '[.services[] | [.unit, .pids]] | .[1:] == [["odd\\x2dname@1.service", [192]],
		["session-1.scope", [196]], ["user@1000.service", [194]], ["web.service", [183, 190]]]' out
	jq -e '.services[0] | .unit == "init.scope" and (.pids | index(1)) == 0' out
}

@test "mounts: as findmnt, and in the kernel's order" {
	oua mounts >tree
	oua mounts --list >list
	[ "$(wc -l <tree)" -eq 16 ] && [ "$(wc -l <list)" -eq 16 ]
	has_lines list <<-'END'
		/                    rootfs          rootfs     rw,size=98376k,nr_inodes=24594,inode64
		/run                 run             tmpfs      rw,nosuid,relatime,size=40960k,mode=755,inode64
		/mnt/bind            /dev/vda[/data] ext4       ro,nodev,noatime,errors=remount-ro,commit=30
		/mnt/ov              ov              overlay    rw,relatime,lowerdir=/mnt/data,upperdir=/mnt/u,workdir=/mnt/w,uuid=on
		/mnt/odd \ dir       odd\tname       tmpfs      ro,nosuid,relatime,size=3072k,nr_inodes=100,mode=700,uid=7,gid=8,inode64
	END
	has_lines tree <<-'END'
		└─/mnt                   /dev/vda        ext4       rw,noatime,errors=remount-ro,commit=30
	END
	"$OUASSISTER" mounts --memory "$old_memory" --json >out
	jq -e '.mounts[] | select(.target == "/mnt") ==
		{"source": "/dev/vda", "target": "/mnt", "fstype": "ext4", "options": "rw,noatime,errors=remount-ro,commit=30"}' out
}

@test "modules: as lsmod" {
	oua modules >out
	diff out - <<-'END'
		Module                  Size  Used by
		nls_utf8               12288  0
		raw_diag               12288  0
		udp_diag               12288  0
		tcp_diag               20480  0
		inet_diag              20480  3 raw_diag,udp_diag,tcp_diag
		unix_diag              12288  0
		dummy                  16384  0
		overlay               233472  1
		ext4                 1277952  1
		mbcache                20480  1 ext4
		crc16                  12288  1 ext4
		jbd2                  196608  1 ext4
		virtio_net            122880  0
		net_failover           24576  1 virtio_net
		failover               16384  1 net_failover
		virtio_blk             36864  3
	END
	"$OUASSISTER" modules --memory "$old_memory" --json >out
	jq -e '[.modules[] | select(.name == "virtio") | .used_by] == [["virtio_net", "virtio_blk", "virtio_pci"]]' out
}

@test "maps: of the first process" {
	oua maps --pid 1 >out
	[ "$(wc -l <out)" -eq 11 ]
	has_lines out <<-'END'
		00401000-00585000 r-xp 00001000 00:03 7                                  /bin/busybox
		005e5000-005ec000 rw-p 00000000 00:00 0 
		7f60fc552000-7f60fc554000 r--p 00000000 00:00 0                          [vvar_vclock]
	END
	oua maps --pid 1 --json >json
	jq -e '(.maps | length) == 11 and .maps[1].path == "/bin/busybox" and .maps[1].inode == 7' json
	"$OUASSISTER" maps --memory "$old_memory" --pid 221 >out
	has_lines out <<-'END'
		7f9edf871000-7f9edfc71000 rw-s 00000000 00:01 4                          /memfd:mem fd (deleted)
		7f9ee0129000-7f9ee012b000 r-xp 00002000 fe:00 31                         /mnt/data/mapped file
	END
}

@test "sockets: of each kind, and who has them" {
	oua sockets --json >out
	jq -e '[.sockets[].netid] | group_by(.) | map({(.[0]): length}) | add ==
		{"raw": 3, "tcp": 17, "u_dgr": 9, "u_seq": 4, "u_str": 12, "udp": 6}' out
	"$OUASSISTER" sockets --memory "$old_memory" --json >out
	jq -e '[.sockets[].netid] | group_by(.) | map({(.[0]): length}) | add ==
		{"raw": 3, "tcp": 17, "u_dgr": 9, "u_seq": 4, "u_str": 12, "udp": 6}' out
	oua sockets -tlp >out
	diff out - <<-'END'
		Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process
		tcp   LISTEN 0      5      127.0.0.1:8080     0.0.0.0:*         users:(("actor",pid=255,fd=36))
		tcp   LISTEN 0      1      0.0.0.0%lo:8083    0.0.0.0:*         users:(("actor",pid=255,fd=39))
		tcp   LISTEN 1      16     *:8082             *:*               users:(("actor",pid=255,fd=38))
		tcp   LISTEN 0      128    [::1]:8081         [::]:*            users:(("actor",pid=255,fd=37))
	END
}

@test "sockets and mounts: of another namespace" {
	memory=$old_memory
	oua sockets --pid 225 -tl >out
	diff out - <<-'END'
		Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port
		tcp   LISTEN 0      9      0.0.0.0:9999       0.0.0.0:*
	END
}

@test "dmesg: records and levels" {
	oua dmesg >out
	[ "$(wc -l <out)" -eq 382 ]
	has_lines out <<-'END'
		[   13.400075] known line from the guest
		[   13.400610] bytes \xff\x01 and a tab\t and an umlaut ä
	END
	oua dmesg --level err --json >out
	jq -e '[.records[].level] | length > 0 and all(. == 3)' out
	oua dmesg --level warn+ --json >out
	jq -e '[.records[].level] | length > 0 and all(. <= 4)' out
	TZ=UTC "$OUASSISTER" dmesg --memory "$old_memory" --ctime --decode >out
	grep -qxF 'user  :debug : [Sun Nov 22 13:55:50 2026] known line from the guest' out
	run oua dmesg --level error
	[ "$status" -eq 2 ]
}

@test "cat: files of /run" {
	for memory in "$memory" "$old_memory"; do
		[ "$(oua cat /run/web.pid)" = 17 ]
		[ "$(oua cat /run/../run/./web.hard)" = 17 ]
		[ "$(oua cat '/run/a dir with space/ümläut'$'\n'newline)" = 'uml ä' ]
		[ -z "$(oua cat /run/empty)" ]
		oua cat /run/web.pid --json >out
		jq -e '.size == 3 and .base64 == "MTcK" and .mode == 420 and .mtime_s == 981173106' out
	done
}

@test "cat: what is no file in memory" {
	# refused STATUS PATTERN PATH
	refused() {
		run oua cat "$3"
		echo "$status: $output"
		[ "$status" -eq "$1" ]
		[[ "$output" == *$2* ]]
	}
	refused 1 'directory' /run
	refused 1 'not a regular file' /run/fifo
	refused 1 '/no/such/file' /no/such/file
	refused 2 'absolute' etc/passwd
	run oua cat
	[ "$status" -eq 2 ]
	[[ "$output" == *'which path?'* ]]
}

@test "a process that does not sleep there" {
	for verb in maps mounts sockets; do
		run oua "$verb" --pid 4000000
		echo "$output"
		[ "$status" -eq 1 ]
		[[ "$output" == *"no process 4000000"* ]]
		for pid in self -1 '' 99999999999 1x; do
			run oua "$verb" "--pid=$pid"
			[ "$status" -eq 2 ]
		done
	done
	run oua maps
	[ "$status" -eq 2 ]
	run oua maps --pid 2
	[ "$status" -eq 1 ]
	[[ "$output" == *"process 2: "* ]]
}

@test "a Debian guest names itself and its users" {
	debian
	[[ "$(oua inspect --json | jq -r .os)" == "Debian GNU/Linux "* ]]
	oua ps >out
	grep -qE '^root +1 +0 ' out
	oua cat /etc/passwd >out
	grep -q '^root:x:0:0:' out
	oua cat --json /etc/passwd >json
	jq -r .base64 json | base64 -d | cmp - out
	run oua cat /proc/uptime
	[ "$status" -eq 3 ]
}

@test "neither root nor a state directory is needed" {
	[ "$(id -u)" -eq 0 ] || skip "needs root, to give it away"
	cp "$memory" here.core
	cp "$OUASSISTER" program
	chmod -R a+rX "$BATS_TEST_TMPDIR"
	for verb in "${verbs[@]}"; do
		# shellcheck disable=SC2046
		setpriv --reuid=65534 --regid=65534 --clear-groups \
			./program "$verb" --memory /dev/stdin $(words "$verb") --json <here.core >out
		jq -e '.version == 1' out >/dev/null
	done
}

@test "cat: all that is before the first page that is missing" {
	debian
	path=/usr/sbin/sshd
	if oua cat "$path" >out 2>err; then
		skip "all of $path is in memory"
	fi
	cat err
	missing=$(sed -n 's/.*: bytes \([0-9]*\) to [0-9]* of the file are not in memory.*/\1/p' err)
	[ "$(stat -c %s out)" -eq "$missing" ]
	! oua cat "$path" --json >json || false
	jq -e .incomplete json
	jq -r .base64 json | base64 -d | cmp - out
}

@test "too little memory is not the guest's fault" {
	local limit seen=
	for limit in 40000 50000 60000 70000 80000 90000; do
		(ulimit -v "$limit" && exec "$OUASSISTER" ps --memory "$memory") >/dev/null 2>err || seen+=$(cat err)
	done
	echo "$seen"
	[[ "$seen" == *[Mm]emory* ]]
	[[ "$seen" != *malformed* ]]
}

@test "a memory image where a VM belongs" {
	for verb in ps inspect; do
		run "$OUASSISTER" "$verb" "$memory"
		echo "$output"
		[ "$status" -ne 0 ]
		[[ "$output" == *"A memory image? Give it with --memory $memory"* ]]
	done
	echo "no VM" >small
	run "$OUASSISTER" ps ./small
	[ "$status" -eq 2 ]
	[[ "$output" != *"A memory image?"* ]]
}

@test "--btf: files that are not the types of a kernel" {
	# refused PATTERN FILE: names the file, says what is wrong with it and what it must be.
	refused() {
		run timeout 20 "$OUASSISTER" ps --memory "$memory" --btf "$2"
		echo "$status: $output"
		[ "$status" -ne 0 ]
		[[ "$output" == *"$2: "*$1* ]]
		[[ "$output" == *"must be of exactly the kernel"* ]]
	}
	# A header, 16 bytes of types (one int) and 4 of names, which begin with the empty one if they stand alone.
	printf '\x9f\xeb\x01\0\x18\0\0\0\0\0\0\0\x10\0\0\0\x10\0\0\0\x04\0\0\0' >header
	{ cat header && printf '\x01\0\0\0\0\0\0\x01\x04\0\0\0\x20\0\0\0' && printf 'abc\0'; } >module
	{ cat header && printf '\x01\0\0\0\0\0\0\x01\x04\0\0\0\x20\0\0\0' && printf '\0ab\0'; } >other
	head -c 30 module >cut
	mkfifo fifo
	refused 'cut short' header
	refused 'cut short' cut
	refused 'a module' module
	refused 'not a regular file' fifo
	head -c 100000 "$OUASSISTER" >program
	refused 'cut short' program
	run "$OUASSISTER" ps --memory "$memory" --btf other
	[ "$status" -eq 2 ]
	[[ "$output" == *"other does not fit"*"must be of exactly the kernel"* ]]
}

@test "options that ps and ss have, and that change nothing" {
	oua ps >wanted
	oua ps -ef | cmp - wanted
	oua ps -e -f | cmp - wanted
	oua sockets -tlp >wanted
	oua sockets -tlnpa | cmp - wanted
}

@test "errors name a file once, on one line" {
	run "$OUASSISTER" ps --memory $'a\nb'
	echo "$output"
	[ "${#lines[@]}" -eq 1 ]
	[[ "$output" == *'a\nb'* ]]
	run oua cat $'/no\nfile'
	[ "${#lines[@]}" -eq 1 ]
	debian
	run oua cat /proc/uptime
	[[ "$output" == *"contents of uptime: made when somebody reads them"* ]]
}
