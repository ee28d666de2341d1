#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Who may sign what a VM is woken with. Bundles and signatures are made by make-bundle, without our own code.

setup() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	command -v openssl >/dev/null || skip "no openssl here"
	unset OUASSISTER_SIGN_KEY OUASSISTER_VERIFY_KEY
	export OUASSISTER_CONFIG_DIR=$BATS_TEST_TMPDIR/config OUASSISTER_STATE_DIR=$BATS_TEST_TMPDIR/state
	export OUASSISTER_RUN_DIR=$BATS_TEST_TMPDIR/run
	: "${OUASSISTER:=$BATS_TEST_DIRNAME/../../build/ouassister}"
	mkdir "$OUASSISTER_CONFIG_DIR"
	cat >"$OUASSISTER_CONFIG_DIR/web1.vm" <<-END
		[vm]
		driver  = qemu
		memory  = web1.mig
		disk    = web1.qcow2
		format  = qcow2
		[qemu]
		command = touch started
		qmp     = web1.qmp
		[channel]
		type    = agent
		agent   = web1.qga
		[update]
	END
	touch "$OUASSISTER_CONFIG_DIR/web1.mig"
	qemu-img create -q -f qcow2 "$OUASSISTER_CONFIG_DIR/web1.qcow2" 16M
	cd "$BATS_TEST_TMPDIR"
	for key in good other; do
		openssl genpkey -algorithm ed25519 -out $key.key
		openssl pkey -in $key.key -pubout -out $key.pem
	done
	# An operation makes the VM's state directory.
	run "$OUASSISTER" resume web1
	[ "$status" -eq 6 ]
	bundle=$(echo "$OUASSISTER_STATE_DIR"/web1-*)/bundle
	"$BATS_TEST_DIRNAME/make-bundle" "$bundle" good.key
}

# woken: the bundle is accepted by what asks who signed it; what follows finds that it is for other images.
woken() {
	run "$OUASSISTER" resume "$@" web1
	echo "status $status: $output"
	[ "$status" -eq 4 ]
	[[ "$output" == *'no longer fits'* ]]
}

# refused STATUS PATTERN [OPTION...]: for the signature, and nothing was touched.
refused() {
	local before
	before=$(find "$OUASSISTER_CONFIG_DIR" "$OUASSISTER_STATE_DIR" -type f -exec sha256sum {} +)
	run "$OUASSISTER" resume "${@:3}" web1
	echo "status $status: $output"
	[ "$status" -eq "$1" ]
	[[ "$output" =~ $2 ]]
	[[ "$output" != *'no longer fits'* ]]
	[ "$before" = "$(find "$OUASSISTER_CONFIG_DIR" "$OUASSISTER_STATE_DIR" -type f -exec sha256sum {} +)" ]
	[ ! -e "$OUASSISTER_CONFIG_DIR/started" ]
}

@test "without a configured key signatures are not asked for" {
	woken
	"$BATS_TEST_DIRNAME/make-bundle" "$bundle"
	woken
}

@test "a bundle signed by the key is taken, by another or by none refused" {
	woken --verify-key good.pem
	refused 4 'signed by key [0-9a-f]{64}, which is not trusted' --verify-key other.pem
	"$BATS_TEST_DIRNAME/make-bundle" "$bundle"
	refused 4 'is not signed' --verify-key good.pem
	refused 2 'verify-key is given an empty value' --verify-key=
	echo 'verify-key =' >>"$OUASSISTER_CONFIG_DIR/web1.vm"
	refused 2 'web1\.vm: key "verify-key" in \[update\] is empty'
}

@test "a bundle that does not say for which images it is" {
	for info in '{}' '{"fingerprint":{}}' '{"fingerprint":{"memory":null}}' '{"fingerprint":"any"}'; do
		BUNDLE_INFO=$info "$BATS_TEST_DIRNAME/make-bundle" "$bundle" good.key
		refused 1 'for which memory and disk' --verify-key good.pem
	done
}

@test "device nodes must be allowed, harmless ones need not" {
	for device in 'b 8:1' 'c 1:1' 'c 10:200' 'b 1:3' 'c 5:1'; do
		BUNDLE_DEVICE=$device "$BATS_TEST_DIRNAME/make-bundle" "$bundle"
		refused 4 'device node: /dev/node'
		woken --allow-device-nodes
	done
	for device in 'c 1:3' 'c 1:9' 'c 0:0'; do
		BUNDLE_DEVICE=$device "$BATS_TEST_DIRNAME/make-bundle" "$bundle"
		woken
	done
}

@test "a signature of another bundle, one cut off, a damaged one" {
	"$BATS_TEST_DIRNAME/make-bundle" "$bundle" good.key
	cp "$bundle" whole
	# The last byte of the hash of the archive: what it names is another one then.
	printf '\377' | dd of="$bundle" bs=1 seek=$(($(stat -c %s whole) - 113)) conv=notrunc status=none
	refused 4 'not of this bundle' --verify-key good.pem
	refused 4 'not of this bundle'
	cp whole "$bundle"
	truncate -s -1 "$bundle"
	refused 1 'bundle' --verify-key good.pem
	cp whole "$bundle"
	truncate -s -112 "$bundle"
	refused 1 'bundle' --verify-key good.pem
}

@test "keys: flag over environment over VM file over configuration directory" {
	cp other.pem "$OUASSISTER_CONFIG_DIR/verify-keys"
	refused 4 'not trusted'
	cp good.pem "$OUASSISTER_CONFIG_DIR"
	echo 'verify-key = good.pem' >>"$OUASSISTER_CONFIG_DIR/web1.vm"
	woken
	OUASSISTER_VERIFY_KEY=other.pem refused 4 'not trusted'
	OUASSISTER_VERIFY_KEY=other.pem woken --verify-key good.pem
	# An empty variable is none: it does not switch the question off.
	sed -i '/^verify-key/d' "$OUASSISTER_CONFIG_DIR/web1.vm"
	OUASSISTER_VERIFY_KEY='' refused 4 'not trusted'
}

@test "a directory of keys, for rotation; keys that cannot be used do not mean none" {
	mkdir keys
	refused 2 'no key is in this directory' --verify-key keys
	cp other.pem keys/2025.pem
	refused 4 'not trusted' --verify-key keys
	cp good.pem keys/2026.pem
	woken --verify-key keys
	cp good.key keys/2027.pem
	refused 2 'PRIVATE KEY' --verify-key keys
	refused 2 'nowhere' --verify-key nowhere
	mkdir "$OUASSISTER_CONFIG_DIR/verify-keys"
	refused 2 'verify-keys'
}

@test "keys that others may write are not trusted" {
	mkdir keys
	cp good.pem keys
	woken --verify-key keys
	chmod o+w good.pem
	refused 2 'good\.pem: others than its owner may write there.*0646' --verify-key good.pem
	chmod g+w,o-w good.pem
	refused 2 'good\.pem: others than its owner' --verify-key good.pem
	chmod g-w good.pem
	chown 1234 good.pem
	refused 2 'good\.pem: it belongs to user 1234' --verify-key good.pem
	chmod 777 keys
	refused 2 'keys: others than its owner' --verify-key keys
	chmod 755 keys
	chown 1234 keys/good.pem
	refused 2 'keys/good\.pem: it belongs' --verify-key keys
}

@test "show says who signed" {
	local key
	key=$(openssl pkey -in good.pem -pubin -outform DER | sha256sum | cut -c1-64)
	"$OUASSISTER" show --json web1 >out
	jq -e --arg key "$key" '.signature == {key: $key, trusted: null, key_file: null}' out
	"$OUASSISTER" show --json --verify-key good.pem web1 >out
	jq -e --arg key "$key" '.signature == {key: $key, trusted: true, key_file: "good.pem"}' out
	"$OUASSISTER" show --json --verify-key other.pem web1 >out
	jq -e '.signature.trusted == false' out
	run "$OUASSISTER" show --verify-key other.pem web1
	[[ "$output" == *"$key, which is not trusted"* ]]
	"$BATS_TEST_DIRNAME/make-bundle" "$bundle"
	"$OUASSISTER" show --json web1 >out
	jq -e 'has("signature") and .signature == null' out
}

@test "update wants a private key it can use, before it begins" {
	openssl genpkey -algorithm ed25519 -aes256 -pass pass:x -out locked.key
	for key in good.pem locked.key nowhere "$OUASSISTER_CONFIG_DIR"; do
		run "$OUASSISTER" update --sign-key "$key" web1
		echo "$key: $status: $output"
		[ "$status" -eq 2 ]
		[[ "$output" == *"$key"* ]]
	done
	OUASSISTER_SIGN_KEY=nowhere run "$OUASSISTER" update web1
	[ "$status" -eq 2 ]
	# What follows it is the image, which is none.
	run "$OUASSISTER" update --sign-key good.key web1
	[ "$status" -eq 1 ]
	[[ "$output" == *web1.mig* ]]
}

@test "update says that nobody will trust what it makes" {
	run "$OUASSISTER" update --sign-key good.key web1
	[[ "$output" != *'will refuse'* ]]
	cp other.pem "$OUASSISTER_CONFIG_DIR/verify-keys"
	run "$OUASSISTER" update --sign-key good.key web1
	[[ "$output" == *'does not trust the key good.key'* ]]
	run "$OUASSISTER" update web1
	[[ "$output" == *'no key is there to make one'* ]]
}
