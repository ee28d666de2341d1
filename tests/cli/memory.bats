#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The verbs that read memory: usage, files that are no memory image, and how output ends. What they
# say of real guests is compared in tests/vm.

setup() {
	export OUASSISTER_CONFIG_DIR=$BATS_TEST_TMPDIR OUASSISTER_STATE_DIR=$BATS_TEST_TMPDIR/state
	export OUASSISTER_RUN_DIR=$BATS_TEST_TMPDIR/run
	: "${OUASSISTER:=$BATS_TEST_DIRNAME/../../build/ouassister}"
	cd "$BATS_TEST_TMPDIR"
	# All of them, as the program itself lists them.
	mapfile -t verbs < <("$OUASSISTER" --completion | sed -n 's/^\([a-z]*\) .*--memory .*/\1/p')
	[ "${#verbs[@]}" -gt 0 ]
}

# words VERB: what it needs besides the memory.
words() {
	case $1 in
	cat) echo /run/none ;;
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

# real_memory: a guest's saved memory in $memory, or the test is skipped.
real_memory() {
	local file
	for file in "${OUASSISTER_TEST_MEMORY:-}" "${OUASSISTER_TEST_CACHE:-/var/cache/ouassister-tests}"/guest-*/memory.mig; do
		if [ -r "$file" ]; then
			memory=$file
			return
		fi
	done
	skip "no guest was built yet (./check vm builds some)"
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

@test "a stream that was cut off" {
	real_memory
	head -c 20M "$memory" >cut
	all_refuse 1 'cut' --memory cut
}

@test "a whole memory without a kernel" {
	real_memory
	# The devices' part and the stream's frame stay, the pages' numbers no longer mean anything.
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
	cat >web1.vm <<-END
		[vm]
		driver  = qemu
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
	: >web1.qcow2
	all_refuse 1 'there is no such memory image' web1
	: >web1.mig.spent
	all_refuse 4 'the memory image is spent' web1
}

@test "a full disk is noticed" {
	real_memory
	for verb in "${verbs[@]}"; do
		case $verb in cat | maps) continue ;; esac
		for json in '' --json; do
			status=0
			# shellcheck disable=SC2086
			"$OUASSISTER" "$verb" --memory "$memory" $json >/dev/full 2>err || status=$?
			echo "$verb $json: $status: $(cat err)"
			[ "$status" -eq 1 ]
			grep -q 'standard output' err
		done
	done
}

@test "a reader who goes away is told nothing" {
	real_memory
	for verb in "${verbs[@]}"; do
		case $verb in cat | maps) continue ;; esac
		"$OUASSISTER" "$verb" --memory "$memory" --json 2>err | head -c 1 >/dev/null
		echo "$verb: $(cat err)"
		[ ! -s err ]
	done
}

@test "JSON is one document with a version" {
	real_memory
	for verb in "${verbs[@]}"; do
		case $verb in cat | maps) continue ;; esac
		"$OUASSISTER" "$verb" --memory "$memory" --json >out
		jq -e '.version == 1' out >/dev/null
		jq -e 'has("incomplete") | not' out >/dev/null
	done
}

@test "a process that does not sleep there" {
	real_memory
	for verb in maps mounts sockets; do
		run "$OUASSISTER" "$verb" --memory "$memory" --pid 4000000
		echo "$output"
		[ "$status" -eq 1 ]
		[[ "$output" == *"no process 4000000"* ]]
		run "$OUASSISTER" "$verb" --memory "$memory" --pid self
		[ "$status" -eq 2 ]
	done
	run "$OUASSISTER" maps --memory "$memory"
	[ "$status" -eq 2 ]
}

@test "maps of the first process" {
	real_memory
	"$OUASSISTER" maps --memory "$memory" --pid 1 >out
	grep -qE '^[0-9a-f]{8,}-[0-9a-f]{8,} r-xp [0-9a-f]{8} [0-9a-f]{2}:[0-9a-f]{2} [0-9]+ +/' out
	"$OUASSISTER" maps --memory "$memory" --pid 1 --json >json
	[ "$(jq '.maps | length' json)" -eq "$(wc -l <out)" ]
	status=0
	"$OUASSISTER" maps --memory "$memory" --pid 1 >/dev/full 2>err || status=$?
	[ "$status" -eq 1 ]
}

@test "cat of files, and of what is none" {
	real_memory
	"$OUASSISTER" cat --memory "$memory" /etc/passwd >out
	grep -q '^root:x:0:0:' out
	"$OUASSISTER" cat --memory "$memory" --json /etc/passwd >json
	jq -r .base64 json | base64 -d | cmp - out
	[ "$(jq .size json)" -eq "$(stat -c %s out)" ]
	run "$OUASSISTER" cat --memory "$memory" /run
	[ "$status" -eq 1 ]
	[[ "$output" == *directory* ]]
	run "$OUASSISTER" cat --memory "$memory" /no/such/file
	[ "$status" -eq 1 ]
	[[ "$output" == */no/such/file* ]]
	run "$OUASSISTER" cat --memory "$memory" /proc/uptime
	echo "$output"
	[ "$status" -ne 0 ]
	run "$OUASSISTER" cat --memory "$memory" etc/passwd
	[ "$status" -eq 2 ]
}

@test "users have the guest's own names" {
	real_memory
	"$OUASSISTER" ps --memory "$memory" >out
	grep -qE '^root +1 +0 ' out
}

@test "levels of dmesg" {
	real_memory
	run "$OUASSISTER" dmesg --memory "$memory" --level error
	[ "$status" -eq 2 ]
	"$OUASSISTER" dmesg --memory "$memory" --level warn+ --json >out
	jq -e '[.records[].level] | all(. <= 4)' out
}

@test "neither root nor a state directory is needed" {
	real_memory
	[ "$(id -u)" -eq 0 ] || skip "needs root, to give it away"
	cp "$memory" here.mig
	cp "$OUASSISTER" program
	chmod -R a+rX "$BATS_TEST_TMPDIR"
	for verb in "${verbs[@]}"; do
		case $verb in cat | maps) continue ;; esac
		setpriv --reuid=65534 --regid=65534 --clear-groups \
			./program "$verb" --memory /dev/stdin --json <here.mig >out
		jq -e '.version == 1' out >/dev/null
	done
}
