#!/usr/bin/env bash
# A token directory from elsewhere: archived, restored, opened with its PINs.
#
#   opencryptoki.sh fixture TOKAR WORK TOKEN
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
fixture=$1

place "$fixture"
daemon_start
listing "$work/listing.before"
daemon_stop
state "$token" "$work/state.before"

say "tokar create | cat of $(basename "$fixture"), and back"
quiet "$tokar" keygen -o "$work/restore.key"
"$tokar" create -R "$work/restore.key.pub" "$token" | cat >"$work/token.tokar"
rm -rf "$token"
# shellcheck disable=SC2002 # out of a pipe, where tokar cannot seek
cat "$work/token.tokar" | "$tokar" extract -i "$work/restore.key" -C "$base" swtok
state "$token" "$work/state.after"
same "$work/state.before" "$work/state.after" "the restored directory differs"

daemon_start
listing "$work/listing.after"
same "$work/listing.before" "$work/listing.after" "the library lists other objects than before"
shows "$(wc -l <"$fixture/TOK_OBJ/OBJ.IDX")"
say "user PIN accepted, every object shown"
conf -u -S "$so_pin" -n 11112222
say "SO PIN accepted"
daemon_stop
say "done"
