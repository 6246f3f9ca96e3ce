#!/usr/bin/env bash
# Restoring over the token of the archive, whose PINs were changed since: the objects are restored and the PINs of
# today stay, unless --roll-back-pins says that those of the archive are to hold again.
#
#   opencryptoki.sh pins TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

made_and_archived
then_user=$user_pin then_so=$so_pin
now_user=55556666 now_so=44443333

change_user() { conf -p -U "$then_user" -n "$now_user"; }
change_so() { conf -P -S "$then_so" -n "$now_so"; }

# changed WHAT…: the token as archived, less an object, and with these PINs changed.
changed() {
	local what
	say "changed since: $*"
	again
	user_pin=$then_user
	daemon_start
	quiet p11 --delete-object --type data --label 'public data'
	for what in "$@"; do "change_$what"; done
	daemon_stop
}

# holds USER SO NOT-USER NOT-SO: whose PINs hold, and whose do not if they are others.
holds() {
	daemon_start
	[ "$1" = "$3" ] || refuses "$3"
	opens "$1" 8
	[ "$2" = "$4" ] || so_refuses "$4"
	so_opens "$2"
	daemon_stop
}

for what in user so 'user so'; do
	user=$then_user so=$then_so
	case $what in *user*) user=$now_user ;; esac
	case $what in *so*) so=$now_so ;; esac
	# shellcheck disable=SC2086 # one word a PIN
	changed $what
	x 1 swtok
	says 'swtok: pins-kept: .*the PINs of today stay'
	[ -e "$token.tokar-old" ] || die "the old token is not kept"
	holds "$user" "$so" "$then_user" "$then_so"

	# shellcheck disable=SC2086
	changed $what
	x 0 --roll-back-pins swtok
	holds "$then_user" "$then_so" "$user" "$so"
done

say "three wrong PINs locked the token since: it stays locked, unless rolled back"
again
daemon_start
for _ in 1 2 3; do refuses 99999999; done
locked "$then_user"
daemon_stop
cp -a "$token" "$work/locked"
x 1 swtok
says 'swtok: pins-kept: .*locked'
daemon_start
locked "$then_user"
daemon_stop
rm -r "$token" "$token.tokar-old"
cp -a "$work/locked" "$token"
x 0 --roll-back-pins swtok
daemon_start
opens "$then_user" 8
daemon_stop
say "done"
