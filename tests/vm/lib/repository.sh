# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A repository of own packages, which lies in the guest itself (/srv/repository): what they ask of the shadow is known to
# the last byte, and no network is needed.

# repository_package DIRECTORY NAME VERSION [FIELD...]: the tree DIRECTORY/NAME-VERSION, to be filled; prints its path.
repository_package() {
	local tree=$1/$2-$3
	mkdir -p "$tree/DEBIAN"
	{
		printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x <x@invalid>\nDescription: x\n' "$2" "$3"
		shift 3
		[ $# = 0 ] || printf '%s\n' "$@"
	} >"$tree/DEBIAN/control"
	echo "$tree"
}

# repository_script TREE SCRIPT: its text comes from standard input, after "#!/bin/sh" and "set -e".
repository_script() {
	{
		printf '#!/bin/sh\nset -e\n'
		cat
	} >"$1/DEBIAN/$2"
	chmod 755 "$1/DEBIAN/$2"
}

# repository_build DIRECTORY: builds each tree and the index beside the packages, in DIRECTORY/repository.
repository_build() {
	local tree out=$1/repository
	mkdir -p "$out"
	for tree in "$1"/*-*/; do
		dpkg-deb --root-owner-group -Znone -b "$tree" "$out" >/dev/null || return 1
	done
	repository_index "$out" || return 1
	echo 'deb [trusted=yes] copy:/srv/repository ./' >"$1/sources.list"
}

# repository_index DIRECTORY: the index of the packages that are there.
repository_index() {
	local deb
	for deb in "$1"/*.deb; do
		dpkg-deb -f "$deb" || return 1
		printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$deb")" "$(stat -c %s "$deb")" \
			"$(sha256sum <"$deb" | cut -d' ' -f1)"
	done >"$1/Packages"
	# Without this, apt would try the index in every compressed form.
	printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(LC_ALL=C date -u -R)" "$(sha256sum <"$1/Packages" | cut -d' ' -f1)" \
		"$(stat -c %s "$1/Packages")" >"$1/Release"
}

# repository_put DIRECTORY VM: into the running guest.
repository_put() {
	tar -C "$1" -cf "$1/repository.tar" repository || return 1
	# shellcheck disable=SC2154 # of test.sh
	vm_put "$work" "$2" "$1/repository.tar" /srv/repository.tar || return 1
	guest "$2" 'tar -C /srv --no-same-owner -xf /srv/repository.tar && rm /srv/repository.tar'
}

# repository_newer NAME DISK SERVER...: prints the directory of a repository with packages newer than those of the Debian 12
# disk of recipe DISK (newer-packages), made where it is not in the cache as NAME-KEY. Wants guest.sh.
repository_newer() {
	local name=$1 disk uri pocket versions=
	disk=$(guest_disk "$2") || return 1
	shift 2
	while read -r _ uri pocket _; do
		versions+=$(guest_index_version "${uri%/}" "$pocket") || return 1
	done < <(guest_sources bookworm)
	name=${guest_cache:?}/$name-$(guest_hash "$disk" "$versions" "$*" "$(cat "${guest_lib:?}/newer-packages")")
	guest_fill "$name" "${guest_lib:?}/newer-packages" "$disk" bookworm "$@" || return 1
	echo "$name"
}

# repository_serve DIRECTORY: over HTTP, for as long as the test runs; the guest's sources while it is updated are in
# $work/sources.list. Wants test.sh.
repository_serve() {
	local address port
	address=$(ip -4 -o address show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
	port=$(free_port)
	(cd "$1" && exec python3 -m http.server --bind "$address" "$port" >"$work/http.log" 2>&1) &
	test_undo+=("kill $!")
	echo "deb [trusted=yes] http://$address:$port ./" >"$work/sources.list"
}
