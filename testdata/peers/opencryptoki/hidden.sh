#!/usr/bin/env bash
# A byte of one private object is changed: with the PIN, tokar names the object and says how many private objects the
# library hides after it, and the library hides as many. PINs given to tokar, right or wrong, are no tries to the
# library. The command that tokar advises brings all back.
#
#   opencryptoki.sh hidden TOKAR WORK TOKEN
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
fixture=$1

place "$fixture"
want=$(wc -l <"$fixture/TOK_OBJ/OBJ.IDX")
printf %s "$user_pin" >"$work/user.pin"
printf 99999999 >"$work/wrong.pin"
chmod 600 "$work"/*.pin
quiet "$tokar" keygen -o "$work/restore.key"
"$tokar" create -R "$work/restore.key.pub" -f "$work/token.tokar" --pin "file:$work/user.pin" "$token"

private=()
while read -r name; do
	[ "$(od -An -tu1 -j4 -N1 "$token/TOK_OBJ/$name")" -eq 0 ] || private+=("$name")
done <"$fixture/TOK_OBJ/OBJ.IDX"
for nth in 0 3 $((${#private[@]} - 1)); do
	name=${private[$nth]}
	place "$fixture"
	forget_segment
	file=$token/TOK_OBJ/$name
	byte=$(od -An -tu1 -j60 -N1 "$file")
	printf '%b' "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$file" bs=1 seek=60 conv=notrunc status=none

	sha256sum "$token/NVTOK.DAT" >"$work/nvtok"
	for _ in 1 2 3 4 5; do
		exits 6 "$tokar" check --pin "file:$work/wrong.pin" --so-pin "file:$work/wrong.pin" "$token"
	done
	exits 1 "$tokar" check --pin "file:$work/user.pin" "$token"
	says "^tokar: swtok/$name: unopenable: "
	says "note: swtok/$name: hidden: .*: $((${#private[@]} - nth - 1))\$"
	quiet sha256sum -c "$work/nvtok"

	daemon_start
	shows $((want - (${#private[@]} - nth)))
	daemon_stop
	say "$name is damaged: the library hides it and the private objects after it, as tokar says, and lets the user in"

	command=$("$tokar" check --pin "file:$work/user.pin" "$token" 2>&1 | sed -n 's/^tokar: unopenable: .*: tokar repair/repair/p') || true
	command=${command/KEY/$work/restore.key}
	command=${command/ARCHIVE/$work/token.tokar}
	say "tokar $command"
	# shellcheck disable=SC2086 # it has no blanks within words here
	"$tokar" $command
	daemon_start
	shows "$want"
	daemon_stop
done
say "done"
