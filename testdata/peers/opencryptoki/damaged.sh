#!/usr/bin/env bash
# A token directory from elsewhere with a damaged object, which hides others until it is left out: a length field 8
# too small in the first private object. The library fails to decrypt it, and without a word hides every private
# object that follows. tokar sees it without a PIN, and leaves it out.
#
#   opencryptoki.sh damaged TOKAR WORK TOKEN
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
fixture=$1

place "$fixture"
want=$(wc -l <"$fixture/TOK_OBJ/OBJ.IDX")
first=
while read -r name; do
	[ "$(od -An -tu1 -j4 -N1 "$token/TOK_OBJ/$name")" -eq 0 ] || { first=$name && break; }
done <"$fixture/TOK_OBJ/OBJ.IDX"
n=$(($(stat -c %s "$token/TOK_OBJ/$first") - 8))
printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24)))" |
	dd of="$token/TOK_OBJ/$first" conv=notrunc status=none
daemon_start
listing "$work/listing.before"
daemon_stop
got=$(grep -c '^[A-Z]' "$work/listing.before")
say "$first is damaged: the library shows $got of $want objects"
[ "$got" -lt $((want - 1)) ] || die "the damage hides nothing"

say "tokar create and extract name it, with exit code 1"
quiet "$tokar" keygen -o "$work/restore.key"
exits 1 "$tokar" create -R "$work/restore.key.pub" -f "$work/token.tokar" "$token"
quiet grep "swtok/$first: trailing: .*(TOK_OBJ/$first, byte $n)" "$work/exits.log"
rm -rf "$token"
forget_segment
exits 1 "$tokar" extract -i "$work/restore.key" -f "$work/token.tokar" -C "$base" swtok
quiet grep "swtok/$first: left-out" "$work/exits.log"

daemon_start
shows $((want - 1))
say "restored without it: every other object is shown"
daemon_stop
say "done"
