#!/usr/bin/env bash
# Restoring over the token of the archive, whose PIN state is still the archive's: it is restored whole, and the one
# that stood there stays beside it until somebody removes it.
#
#   opencryptoki.sh same TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

made_and_archived
state "$token" "$work/state.made"

say "an object was deleted since"
daemon_start
quiet p11 --delete-object --type data --label 'private data'
shows 7
daemon_stop
state "$token" "$work/state.seven"
x 0 swtok
says 'kept as swtok.tokar-old'
state "$token.tokar-old" "$work/state.old"
same "$work/state.seven" "$work/state.old" "the old token is not kept as it was"
state "$token" "$work/state.after"
same "$work/state.made" "$work/state.after" "the restored directory differs"
daemon_start
opens "$user_pin" 8
so_opens "$so_pin"
quiet p11 --read-object --type data --label 'private data' -o "$work/private.out"
quiet cmp "$work/private.txt" "$work/private.out"
daemon_stop

say "the old one is still there: refused, before the archive is read to its end"
x_refused 3 swtok
says 'swtok.tokar-old'
head -c "$(($(stat -c %s "$work/token.tokar") - 100))" "$work/token.tokar" >"$work/cut.tokar"
mv "$work/token.tokar" "$work/whole.tokar"
mv "$work/cut.tokar" "$work/token.tokar"
x_refused 3 swtok
rm -r "$token.tokar-old"
say "(without it, the archive that is cut is what is wrong)"
x_refused 7 swtok
mv "$work/whole.tokar" "$work/token.tokar"

say "the RSA private key was damaged since"
again
private=
while read -r name; do
	[ "$(od -An -tu1 -j4 -N1 "$token/TOK_OBJ/$name")" -eq 0 ] || { private=$name && break; }
done <"$token/TOK_OBJ/OBJ.IDX"
printf 'damaged!' | dd of="$token/TOK_OBJ/$private" bs=1 seek=64 conv=notrunc status=none
daemon_start
listing "$work/listing.damaged"
! grep -q '^Private Key Object' "$work/listing.damaged" || die "the damaged private key is shown"
daemon_stop
x 0 --no-keep swtok
[ ! -e "$token.tokar-old" ] || die "the old token is kept"
daemon_start
opens "$user_pin" 8
daemon_stop
say "an object was made since, and the archive does not have it"
daemon_start
quiet p11 --write-object "$work/public.txt" --type data --label 'made since'
shows 9
daemon_stop
x 1 swtok
says 'swtok: dropped: .*80000000.*swtok.tokar-old'
daemon_start
opens "$user_pin" 8
daemon_stop
say "done"
