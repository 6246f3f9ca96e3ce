# shellcheck shell=bash
# What every session begins with: a Soft token in a system of its own, and how the real library is asked about it.
# Sourced with the session's arguments, of which it takes the first two.
[ $$ -eq 1 ] || { echo "to be run by opencryptoki.sh, in namespaces of its own" >&2; exit 1; }

# shellcheck disable=SC2034 # the sessions use it
tokar=$1 work=$2
shift 2

base=/var/lib/opencryptoki
token=$base/swtok
segment=/dev/shm/var.lib.opencryptoki.swtok
slot=3 # the Soft token of the packaged opencryptoki.conf
so_pin=76543210 user_pin=01234567

say() { printf '== %s\n' "$*"; }
die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

# A command whose output matters only when it fails.
quiet() {
	"$@" >"$work/quiet.log" 2>&1 || { cat "$work/quiet.log" >&2; die "failed: $*"; }
}

# A command that ends with this exit code; its output stays in exits.log.
exits() {
	local want=$1 got=0
	shift
	"$@" >"$work/exits.log" 2>&1 || got=$?
	cat "$work/exits.log"
	[ "$got" -eq "$want" ] || die "exit code $got, not $want: $*"
}

same() {
	diff -U 0 "$1" "$2" >"$work/diff" || { head -n 40 "$work/diff" >&2; die "$3"; }
}

private_system() {
	mount -t tmpfs tmpfs /run
	mount -t tmpfs tmpfs /dev/shm
	mkdir -p /run/lock "$work/data"
	mount --bind "$work/data" "$base"
	systemd-tmpfiles --create opencryptoki.conf
}

# await COMMAND…: until it succeeds.
await() {
	local try
	for try in $(seq 2000); do
		"$@" && return
		sleep 0.01
	done
	die "tried $try times: $*"
}

ended() { [ ! -e "/proc/$1" ]; }

daemon_start() {
	pkcsslotd
	await test -S /run/pkcsslotd.socket
}

# It does not end while a session is open. The shared memory outlives it, and what that holds goes for the truth when
# the library is started again.
daemon_stop() {
	local pid
	pid=$(cat /run/pkcsslotd.pid)
	kill "$pid"
	await ended "$pid"
	rm -f /run/pkcsslotd.pid /run/pkcsslotd.socket
}

# After files were changed by hand; tokar is to do this itself.
forget_segment() { rm -f "$segment"; }

pkcs11() { pkcs11-tool --module libopencryptoki.so.0 --slot "$slot" "$@" 2>"$work/p11.err" || { cat "$work/p11.err" >&2; die "pkcs11-tool $*"; }; }
p11() { pkcs11 --login --pin "$user_pin" "$@"; }

# What the library shows after login; the handle in "Data object 7" is the session's, not the object's.
listing() { p11 --list-objects | sed 's/^Data object [0-9]*/Data object/' >"$1"; }

# Every byte, mode, owner and time below a token directory.
state() { (cd "$1" && find . -printf '%p %y %m %u:%g %T@\n' -type f -exec sha256sum {} \; | sort) >"$2"; }

# shows N: with $user_pin, the library lists so many objects.
shows() {
	listing "$work/listing.shows"
	local got
	got=$(grep -c '^[A-Z]' "$work/listing.shows") || true
	[ "$got" -eq "$1" ] || { cat "$work/listing.shows"; die "the library shows $got objects, not $1"; }
}

# opens PIN N: the library lets the user in, lists N objects, and signs with the RSA key that was there before.
opens() {
	user_pin=$1
	shows "$2"
	signs 01 "$work/rsa.pub"
}

# A wrong PIN leaves its mark in NVTOK.DAT until the right one is given.
refuses() { refused CKR_PIN_INCORRECT --login --pin "$1"; }
locked() { refused CKR_PIN_LOCKED --login --pin "$1"; }
so_refuses() { refused CKR_PIN_INCORRECT --login --session-rw --login-type so --so-pin "$1"; }
so_opens() { quiet pkcs11 --login --session-rw --login-type so --so-pin "$1" --list-objects; }

refused() {
	local because=$1
	shift
	! pkcs11-tool --module libopencryptoki.so.0 --slot "$slot" "$@" --list-objects >"$work/refused.log" 2>&1 || die "the library accepts: $*"
	quiet grep "$because" "$work/refused.log"
}

# pkcsconf ends with 0 whatever happens.
conf() {
	quiet pkcsconf -c "$slot" "$@"
	! grep -i -e error -e incorrect "$work/quiet.log" >&2 || die "failed: pkcsconf $*"
}

# init_token LABEL SO-PIN USER-PIN: a new token in an empty directory.
init_token() {
	conf -I -S 87654321 <<<"$1"
	conf -P -S 87654321 -n "$2"
	conf -u -S "$2" -n 12345678
	conf -p -U 12345678 -n "$3"
}

make_token() {
	say "a Soft token through pkcsconf and pkcs11-tool"
	init_token 'tokar peer test' "$so_pin" "$user_pin"
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
	shows 8
}

# What only the true keys can do later: the public key and ciphertexts leave the token now.
use_before() {
	printf '0123456789abcdef0123456789abcdef' >"$work/plain"
	head -c 20 "$work/plain" >"$work/digest"
	quiet p11 --read-object --type pubkey --id 01 -o "$work/rsa.pub"
	quiet openssl pkeyutl -encrypt -pubin -inkey "$work/rsa.pub" -keyform DER -in "$work/plain" -out "$work/rsa.ct"
	quiet p11 --encrypt -m AES-CBC --iv "$(printf '00%.0s' {1..16})" --id 02 -i "$work/plain" -o "$work/aes.ct"
}

# signs ID PUBLIC: the RSA key signs, and openssl verifies with a public key that left the token before.
signs() {
	rm -f "$work/raw.sig"
	quiet p11 --sign -m RSA-PKCS --id "$1" -i "$work/digest" -o "$work/raw.sig"
	quiet openssl pkeyutl -verify -pubin -inkey "$2" -keyform DER -in "$work/digest" -sigfile "$work/raw.sig"
}

use_after() {
	say "the restored RSA key signs, the public key from before verifies"
	signs 01 "$work/rsa.pub"
	quiet p11 --sign -m SHA1-RSA-PKCS --id 01 -i "$work/digest" -o "$work/sha1.sig"
	quiet openssl dgst -sha1 -verify "$work/rsa.pub" -keyform DER -signature "$work/sha1.sig" "$work/digest"
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

# Leaves a token of 8 objects, its archive, and a copy that `again` puts in place; no daemon runs.
made_and_archived() {
	daemon_start
	make_token
	use_before
	daemon_stop
	quiet "$tokar" keygen -o "$work/restore.key"
	quiet "$tokar" create -R "$work/restore.key.pub" -f "$work/token.tokar" "$token"
	cp -a "$token" "$work/made"
}

again() {
	rm -rf "$token" "$token.tokar-old"
	forget_segment
	cp -a "$work/made" "$token"
}

# x CODE [FLAG…] NAME…: restores below $base, out of a pipe.
x() {
	local code=$1
	shift
	printf '$ tokar x %s\n' "$*"
	exits "$code" "$tokar" extract -i "$work/restore.key" -C "$base" "$@" < <(cat "$work/token.tokar")
}

says() { quiet grep -e "$1" "$work/exits.log"; }

# x_refused CODE [FLAG…] NAME…: and everything below $base stays as it was, with nothing left behind.
x_refused() {
	state "$base" "$work/state.base"
	x "$@"
	state "$base" "$work/state.now"
	same <(grep -v '^\. ' "$work/state.base") <(grep -v '^\. ' "$work/state.now") "something changed below $base"
}

# Puts a token directory from elsewhere, whose owners and modes are lost, in place.
place() {
	rm -rf "$token"
	cp -r "$1" "$token"
	chgrp -R pkcs11 "$token"
	find "$token" -type d -exec chmod 0770 {} + -o -type f -exec chmod 0660 {} +
}

private_system
