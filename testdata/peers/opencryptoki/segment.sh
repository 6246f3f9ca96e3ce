#!/usr/bin/env bash
# The shared memory that the library keeps of a token: with a stale one restored objects are not seen, and tokar
# removes it with what it restores.
#
#   opencryptoki.sh segment TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

daemon_start
make_token
use_before
quiet "$tokar" keygen -o "$work/restore.key"
quiet "$tokar" create -R "$work/restore.key.pub" -f "$work/token.tokar" "$token"
for label in 'public data' 'private data'; do
	quiet p11 --delete-object --type data --label "$label"
done
shows 6
daemon_stop
cp -a "$token" "$work/token.six"
cp -a "$segment" "$work/segment.six"

say "8 objects restored with a segment that knows 6: by hand, the library shows 6"
rm -rf "$token"
forget_segment
exits 0 "$tokar" extract -i "$work/restore.key" -f "$work/token.tokar" -C "$base" swtok
cp -a "$work/segment.six" "$segment"
daemon_start
shows 6
daemon_stop

say "by tokar, where no token stands: 8"
rm -rf "$token"
[ -e "$segment" ] || die "there is no stale segment to remove"
exits 0 "$tokar" extract -i "$work/restore.key" -f "$work/token.tokar" -C "$base" swtok
daemon_start
shows 8
signs 01 "$work/rsa.pub"
daemon_stop

say "by tokar, over the token of 6: 8"
rm -rf "$token"
cp -a "$work/token.six" "$token"
cp -a "$work/segment.six" "$segment"
exits 0 "$tokar" extract -i "$work/restore.key" -f "$work/token.tokar" -C "$base" swtok
daemon_start
shows 8
signs 01 "$work/rsa.pub"
daemon_stop
say "done"
