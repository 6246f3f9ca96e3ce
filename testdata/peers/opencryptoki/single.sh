#!/usr/bin/env bash
# Single objects, restored into the token that they were deleted from: nothing else in it changes.
#
#   opencryptoki.sh single TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

made_and_archived
daemon_start
listing "$work/listing.made"
daemon_stop

# All but the restored file, the index that names it, and the times of directories.
others() { state "$token" /dev/stdout | sed -E "/TOK_OBJ\/($1|OBJ.IDX)/d; s/^([^ ]+ d .*) [^ ]+$/\1/" >"$2"; }

# alone TYPE FLAG VALUE: an object is deleted through PKCS#11, and restored.
alone() {
	local name
	say "deleted and restored: $*"
	again
	daemon_start
	ls "$token/TOK_OBJ" >"$work/files.before"
	quiet p11 --delete-object --type "$@"
	name=$(comm -23 "$work/files.before" <(ls "$token/TOK_OBJ"))
	shows 7
	daemon_stop
	others "$name" "$work/state.before"
	x 0 "swtok/$name"
	[ ! -e "$token.tokar-old" ] || die "a token is kept, which was not replaced"
	others "$name" "$work/state.after"
	same "$work/state.before" "$work/state.after" "something else in the token changed"
	quiet cmp "$token/TOK_OBJ/$name" "$work/made/TOK_OBJ/$name"
	daemon_start
	listing "$work/listing.after"
	same "$work/listing.made" "$work/listing.after" "the library lists other objects than before"
	opens "$user_pin" 8
	daemon_stop
}

alone privkey --id 01
alone pubkey --id 01
alone cert --id 01
alone data --label 'private data'

say "done"
