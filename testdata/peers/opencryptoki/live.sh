#!/usr/bin/env bash
# Archives of a token while applications make and remove objects in it and change its PIN: each
# archive is whole, each object in it sound, its index right, its PIN state of one PIN; and no application meets an
# error.
#
#   opencryptoki.sh live TOKAR WORK ARCHIVES KIND…
#
# Each KIND is an application: objects makes and removes them, makes only makes them, pins changes the PIN. Two
# processes of which one removes objects are no test of tokar: 3.8.1 rewrites OBJ.IDX then without its own lock, and
# loses what the other has just made, or all.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

archives=$1
shift
other_pin=11223344
enough=$work/enough

daemon_start
make_token
quiet "$tokar" keygen -o "$work/restore.key"
[ -e /var/lock/opencryptoki/swtok/LCK..swtok ] || die "the library has made no lock"

printf '%s' "$user_pin" >"$work/pin.1"
printf '%s' "$other_pin" >"$work/pin.2"
chmod 0600 "$work"/pin.?
writers=()
for what in "$@"; do
	name=$what.${#writers[@]}
	"$(dirname "$0")/churn.py" "$what" libopencryptoki.so.0 "$slot" "$user_pin" "$other_pin" "$name" "$enough" >"$work/$name.out" 2>&1 &
	writers+=($!)
	await test -e "$enough.$name"
done
touch "$enough.go"

# make N EXIT-CODES [FLAG…]: archives the token, and proves the archive.
make() {
	local n=$1 codes=$2 got=0
	shift 2
	"$tokar" create -q "$@" -R "$work/restore.key.pub" -f "$work/$n.tokar" "$token" >"$work/exits.log" 2>&1 || got=$?
	[[ $codes == *$got* ]] || { cat "$work/exits.log"; die "archive $n: exit code $got"; }
	if [ "$got" -ne 0 ]; then # sound, with what was found
		exits 1 "$tokar" verify -q -i "$work/restore.key" -f "$work/$n.tokar" >"$work/verify.log"
		return
	fi
	quiet "$tokar" verify -i "$work/restore.key" -f "$work/$n.tokar"
	mkdir "$work/$n"
	quiet "$tokar" extract -i "$work/restore.key" -f "$work/$n.tokar" -C "$work/$n"
}

for n in $(seq "$archives"); do make "$n" 0; done
unstable=0
for n in $(seq 3); do
	make "unlocked$n" '0 1' --no-lock
	[ -d "$work/unlocked$n" ] || unstable=$((unstable + 1))
done
touch "$enough"
for pid in "${writers[@]}"; do
	wait "$pid" || { tail -n 5 "$work"/*.out; die "a writer failed"; }
done
daemon_stop

# Now that nobody waits: what is in them.
of_one=0
for dir in "$work"/*/swtok; do
	got=0
	"$tokar" check --pin "file:$work/pin.1" "$dir" >"$work/exits.log" 2>&1 || got=$?
	if [ "$got" -eq 6 ]; then # of the other PIN
		got=0
		"$tokar" check --pin "file:$work/pin.2" "$dir" >"$work/exits.log" 2>&1 || got=$?
	else
		of_one=$((of_one + 1))
	fi
	[ "$got" -eq 0 ] || { cat "$work/exits.log"; die "$dir: exit code $got"; }
done
[ "$of_one" -gt 0 ] || die "no archive is of the first PIN"

say "the last archive opens in the library"
rm -rf "$token"
forget_segment
cp -a "$work/$archives/swtok" "$token"
daemon_start
pin=$user_pin
pkcs11-tool --module libopencryptoki.so.0 --slot "$slot" --login --pin "$pin" --list-objects >"$work/last" 2>&1 || pin=$other_pin
user_pin=$pin
listing "$work/last"
grep -q 'rsa pair' "$work/last" || die "the RSA key is not there"
daemon_stop
echo "counted: $archives archives, $of_one of one PIN; 3 without the lock, of which $unstable say that the token did not stand still"
for out in "$work"/*.out; do
	read -r changes longest <"$out"
	echo "counted: $(basename "$out" .out): $changes changes, the longest took $longest ms"
done
say "done"
