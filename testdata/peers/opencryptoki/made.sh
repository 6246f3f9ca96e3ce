#!/usr/bin/env bash
# A token made through PKCS#11: archived through ssh, destroyed, restored through ssh, used.
#
#   opencryptoki.sh made TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
# shellcheck source-path=SCRIPTDIR source=ssh.sh
. "$(dirname "$0")/ssh.sh"

daemon_start
make_token
use_before
listing "$work/listing.before"
daemon_stop
state "$token" "$work/state.before"

say "tokar create | ssh vault cat"
ssh_start
quiet "$tokar" keygen -o "$work/restore.key"
"$tokar" create -R "$work/restore.key.pub" "$token" | vault "cat > $work/token.tokar"
say "the token is destroyed"
rm -rf "$token"
say "ssh vault cat | tokar extract"
vault "cat $work/token.tokar" | "$tokar" extract -i "$work/restore.key" -C "$base" swtok
ssh_stop
[ ! -e "$segment" ] || die "the shared memory of the token that was destroyed is still there"
state "$token" "$work/state.after"
same "$work/state.before" "$work/state.after" "the restored directory differs"

daemon_start
listing "$work/listing.after"
same "$work/listing.before" "$work/listing.after" "the library lists other objects than before"
use_after
daemon_stop
say "done"
