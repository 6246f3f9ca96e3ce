#!/usr/bin/env bash
# The real openCryptoki library judges what tokar restores.
#
#   opencryptoki.sh made TOKAR WORK             a token made through PKCS#11: archived, destroyed, restored, used
#   opencryptoki.sh fixture TOKAR WORK TOKEN    a token directory from elsewhere: archived, restored, opened with its PINs
#   opencryptoki.sh damaged TOKAR WORK TOKEN    the same with a damaged object, which hides others until it is left out
#
# Run by peers_test.go as root in namespaces of its own, so that the host's daemon, token data, locks and
# shared memory stay out of it:  unshare -m -i -p -f --mount-proc opencryptoki.sh …
# Debian's openCryptoki 3.8.1 and pkcs11-tool; nothing outside WORK is written.
set -euo pipefail

mode=$1 tokar=$2 work=$3
base=/var/lib/opencryptoki
slot=3 # the Soft token of the packaged opencryptoki.conf
so_pin=76543210 user_pin=01234567

say() { printf '== %s\n' "$*"; }
die() { printf 'opencryptoki.sh: %s\n' "$*" >&2; exit 1; }

# A command whose output matters only when it fails.
quiet() {
	"$@" >"$work/quiet.log" 2>&1 || { cat "$work/quiet.log" >&2; die "failed: $*"; }
}

private_system() {
	mount -t tmpfs tmpfs /run
	mount -t tmpfs tmpfs /dev/shm
	mkdir -p /run/lock "$work/data"
	mount --bind "$work/data" "$base"
	systemd-tmpfiles --create opencryptoki.conf
}

daemon_start() {
	pkcsslotd
	local try
	for try in $(seq 50); do
		[ -S /run/pkcsslotd.socket ] && return
		sleep 0.1
	done
	die "pkcsslotd does not answer after $try tries"
}

# Files are about to change behind the library's back: its shared memory would still show the old list.
daemon_stop() {
	kill "$(cat /run/pkcsslotd.pid)"
	while [ -e /proc/"$(cat /run/pkcsslotd.pid 2>/dev/null || echo none)" ]; do sleep 0.1; done
	rm -f /run/pkcsslotd.pid /run/pkcsslotd.socket /dev/shm/var.lib.opencryptoki.*
}

p11() { pkcs11-tool --module libopencryptoki.so.0 --slot "$slot" --login --pin "$user_pin" "$@" 2>"$work/p11.err" || { cat "$work/p11.err" >&2; die "pkcs11-tool $*"; }; }

# What the library shows after login; the handle in "Data object 7" is the session's, not the object's.
listing() { p11 --list-objects | sed 's/^Data object [0-9]*/Data object/' >"$1"; }

# Every byte, mode, owner and time below a token directory.
state() { (cd "$1" && find . -printf '%p %y %m %u:%g %T@\n' -type f -exec sha256sum {} \; | sort) >"$2"; }

archive() {
	quiet "$tokar" keygen -o "$work/restore.key"
	"$tokar" create -R "$work/restore.key.pub" "$1" | cat >"$work/token.tokar"
}

restore() {
	# shellcheck disable=SC2002 # out of a pipe, where tokar cannot seek
	cat "$work/token.tokar" | "$tokar" extract -i "$work/restore.key" -C "$base" "$1"
}

same() {
	diff -U 0 "$1" "$2" >"$work/diff" || { head -n 40 "$work/diff" >&2; die "$3"; }
}

make_token() {
	say "a Soft token through pkcsconf and pkcs11-tool"
	echo 'tokar peer test' | quiet pkcsconf -c "$slot" -I -S 87654321
	quiet pkcsconf -c "$slot" -P -S 87654321 -n "$so_pin"
	quiet pkcsconf -c "$slot" -u -S "$so_pin" -n 12345678
	quiet pkcsconf -c "$slot" -p -U 12345678 -n "$user_pin"
	quiet p11 --keypairgen --key-type rsa:2048 --id 01 --label 'rsa pair'
	quiet p11 --keygen --key-type AES:32 --id 02 --label 'aes key'
	quiet p11 --keygen --key-type DES3:24 --id 03 --label 'des3 key'
	quiet p11 --keygen --key-type GENERIC:32 --id 04 --label 'generic secret'
	quiet openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/ca.key" -subj '/CN=tokar peer' -outform der -out "$work/cert.der"
	quiet p11 --write-object "$work/cert.der" --type cert --id 01 --label 'certificate'
	printf 'public data\n' >"$work/public.txt"
	printf 'private data\n' >"$work/private.txt"
	quiet p11 --write-object "$work/public.txt" --type data --label 'public data'
	quiet p11 --write-object "$work/private.txt" --type data --label 'private data' --private
}

# What only the true keys can do later: the public key and ciphertexts leave the token now.
use_before() {
	printf '0123456789abcdef0123456789abcdef' >"$work/plain"
	head -c 20 "$work/plain" >"$work/digest"
	quiet p11 --read-object --type pubkey --id 01 -o "$work/rsa.pub"
	quiet openssl pkeyutl -encrypt -pubin -inkey "$work/rsa.pub" -keyform DER -in "$work/plain" -out "$work/rsa.ct"
	quiet p11 --encrypt -m AES-CBC --iv "$(printf '00%.0s' {1..16})" --id 02 -i "$work/plain" -o "$work/aes.ct"
}

use_after() {
	say "the restored RSA key signs, the public key from before verifies"
	quiet p11 --sign -m SHA1-RSA-PKCS --id 01 -i "$work/digest" -o "$work/sha1.sig"
	quiet openssl dgst -sha1 -verify "$work/rsa.pub" -keyform DER -signature "$work/sha1.sig" "$work/digest"
	quiet p11 --sign -m RSA-PKCS --id 01 -i "$work/digest" -o "$work/raw.sig"
	quiet openssl pkeyutl -verify -pubin -inkey "$work/rsa.pub" -keyform DER -in "$work/digest" -sigfile "$work/raw.sig"
	say "what was encrypted before opens under the restored RSA and AES keys"
	quiet p11 --decrypt -m RSA-PKCS --id 01 -i "$work/rsa.ct" -o "$work/rsa.out"
	quiet cmp "$work/plain" "$work/rsa.out"
	quiet p11 --decrypt -m AES-CBC --iv "$(printf '00%.0s' {1..16})" --id 02 -i "$work/aes.ct" -o "$work/aes.out"
	quiet cmp "$work/plain" "$work/aes.out"
	quiet p11 --read-object --type data --label 'private data' -o "$work/private.out"
	quiet cmp "$work/private.txt" "$work/private.out"
	say "and the restored token takes new objects"
	quiet p11 --write-object "$work/public.txt" --type data --label 'after the restore'
}

made() {
	daemon_start
	make_token
	use_before
	listing "$work/listing.before"
	[ "$(grep -c 'label:' "$work/listing.before")" -eq 8 ] || { cat "$work/listing.before"; die "the token should have 8 objects"; }
	daemon_stop
	state "$base/swtok" "$work/state.before"

	say "tokar create | cat"
	archive "$base/swtok"
	say "the token is destroyed"
	rm -rf "$base/swtok"
	say "cat | tokar extract"
	restore swtok
	state "$base/swtok" "$work/state.after"
	same "$work/state.before" "$work/state.after" "the restored directory differs"

	daemon_start
	listing "$work/listing.after"
	same "$work/listing.before" "$work/listing.after" "the library lists other objects than before"
	use_after
	daemon_stop
}

place() {
	rm -rf "$base/swtok"
	cp -r "$1" "$base/swtok"
	chgrp -R pkcs11 "$base/swtok"
	find "$base/swtok" -type d -exec chmod 0770 {} + -o -type f -exec chmod 0660 {} +
}

fixture() {
	local token=$1
	place "$token"
	daemon_start
	listing "$work/listing.before"
	daemon_stop
	state "$base/swtok" "$work/state.before"

	say "tokar create | cat of $(basename "$token"), and back"
	archive "$base/swtok"
	rm -rf "$base/swtok"
	restore swtok
	state "$base/swtok" "$work/state.after"
	same "$work/state.before" "$work/state.after" "the restored directory differs"

	daemon_start
	listing "$work/listing.after"
	same "$work/listing.before" "$work/listing.after" "the library lists other objects than before"
	local want got
	want=$(wc -l <"$token/TOK_OBJ/OBJ.IDX")
	got=$(grep -c '^[A-Z]' "$work/listing.after")
	say "user PIN accepted, $got of $want objects shown"
	[ "$got" -eq "$want" ] || { cat "$work/listing.after"; die "not every object is shown"; }
	say "SO PIN accepted"
	quiet pkcsconf -c "$slot" -u -S "$so_pin" -n 11112222
	daemon_stop
}

# A length field 8 too small in the first private object: the library fails to decrypt it, and without a word
# hides every private object that follows. tokar sees it without a PIN, and leaves it out.
damaged() {
	local token=$1 want name first='' n got
	place "$token"
	want=$(wc -l <"$token/TOK_OBJ/OBJ.IDX")
	while read -r name; do
		[ "$(od -An -tu1 -j4 -N1 "$base/swtok/TOK_OBJ/$name")" -eq 0 ] || { first=$name && break; }
	done <"$token/TOK_OBJ/OBJ.IDX"
	n=$(($(stat -c %s "$base/swtok/TOK_OBJ/$first") - 8))
	printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24)))" |
		dd of="$base/swtok/TOK_OBJ/$first" conv=notrunc status=none
	daemon_start
	listing "$work/listing.before"
	daemon_stop
	got=$(grep -c '^[A-Z]' "$work/listing.before")
	say "$first is damaged: the library shows $got of $want objects"
	[ "$got" -lt $((want - 1)) ] || die "the damage hides nothing"

	say "tokar create and extract name it, with exit code 1"
	quiet "$tokar" keygen -o "$work/restore.key"
	exits 1 "$tokar" create -R "$work/restore.key.pub" -f "$work/token.tokar" "$base/swtok"
	quiet grep "swtok/$first: trailing: .*(TOK_OBJ/$first, byte $n)" "$work/exits.log"
	rm -rf "$base/swtok"
	exits 1 "$tokar" extract -i "$work/restore.key" -f "$work/token.tokar" -C "$base" swtok
	quiet grep "swtok/$first: left-out" "$work/exits.log"

	daemon_start
	listing "$work/listing.after"
	got=$(grep -c '^[A-Z]' "$work/listing.after")
	say "restored without it: $got of $want objects shown"
	[ "$got" -eq $((want - 1)) ] || { cat "$work/listing.after"; die "not every other object is shown"; }
	daemon_stop
}

exits() {
	local want=$1 got=0
	shift
	"$@" >"$work/exits.log" 2>&1 || got=$?
	cat "$work/exits.log"
	[ "$got" -eq "$want" ] || die "exit code $got, not $want: $*"
}

[ $$ -eq 1 ] || die "to be run in namespaces of its own, see the head of this file"
private_system
case $mode in
made) made ;;
fixture) fixture "$4" ;;
damaged) damaged "$4" ;;
*) die "unknown mode $mode" ;;
esac
say "done"
