#!/usr/bin/env bash
# A token of several blocks, an archive of it with a block lost, and the real library on what salvage brought back.
#
#   opencryptoki.sh salvage TOKAR WORK TOKEN
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
fixture=$1

place "$fixture"
objects=$(wc -l <"$fixture/TOK_OBJ/OBJ.IDX")
say "the token of $objects objects gets 400 more: copies of a public key"
for n in $(seq 400); do
	name=$(printf 'ZZ%06d' "$n")
	cp -p "$token/TOK_OBJ/00000000" "$token/TOK_OBJ/$name"
	printf %s "$name" | dd of="$token/TOK_OBJ/$name" bs=1 seek=13 conv=notrunc status=none # its name inside
	echo "$name" >>"$token/TOK_OBJ/OBJ.IDX"
done
daemon_start
shows $((objects + 400))
daemon_stop

quiet "$tokar" keygen -o "$work/restore.key"
quiet "$tokar" create -R "$work/restore.key.pub" -f "$work/token.tokar" "$token"
say "the sector in the middle of the archive's second block is lost"
mapfile -t frames < <(LC_ALL=C grep -obaP '\xf7TKB' "$work/token.tokar" | cut -d: -f1)
sector=$(((frames[2] + frames[3]) / 2 / 512)) # frames: data 0, index 0, data 1, …
dd if=/dev/zero of="$work/token.tokar" bs=512 count=1 seek="$sector" conv=notrunc status=none
exits 7 "$tokar" extract -i "$work/restore.key" -f "$work/token.tokar" -C "$work"
exits 1 "$tokar" extract --salvage -i "$work/restore.key" -f "$work/token.tokar" -C "$work/salvaged"
quiet grep ' lost-records: ' "$work/exits.log"
quiet grep -E ': swtok/ZZ000[0-9]{3}: lost: ' "$work/exits.log"
left=$(find "$work/salvaged/swtok/TOK_OBJ" -type f ! -name OBJ.IDX | wc -l)
say "$left objects came back"
if [ "$left" -lt "$objects" ] || [ "$left" -ge $((objects + 400)) ]; then die "that cannot be"; fi
while read -r name; do
	same "$token/TOK_OBJ/$name" "$work/salvaged/swtok/TOK_OBJ/$name" "$name differs"
done <"$work/salvaged/swtok/TOK_OBJ/OBJ.IDX"

rm -rf "$token"
forget_segment
cp -rp "$work/salvaged/swtok" "$token"
daemon_start
shows "$left"
say "the library shows each of them, with the user's PIN"
daemon_stop
say "done"
