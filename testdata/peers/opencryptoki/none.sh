#!/usr/bin/env bash
# Restoring where no token stands but what a new host has: the directories that the package makes, and the token
# that the library makes of them when it first looks there, which nobody ever initialised.
#
#   opencryptoki.sh none TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

made_and_archived

new_host() {
	rm -rf "$token" "$token.tokar-old"
	forget_segment
	systemd-tmpfiles --create opencryptoki.conf
}

works() {
	daemon_start
	opens "$user_pin" 8
	so_opens "$so_pin"
	daemon_stop
}

say "the package's empty directories"
new_host
x 0 swtok
[ ! -e "$token.tokar-old" ] || die "an empty directory is kept"
works

say "a token that the library made, and nobody initialised"
for flags in '' --keep-pins --roll-back-pins --replace-token; do
	new_host
	daemon_start
	quiet pkcs11 --list-slots
	grep -q 'token state: *uninitialized' "$work/quiet.log" || { cat "$work/quiet.log"; die "it is initialised"; }
	daemon_stop
	# shellcheck disable=SC2086 # no flag at all
	x 0 $flags swtok
	works
done

say "but the SO set the user's PIN in it: that is a token"
new_host
daemon_start
conf -u -S 87654321 -n 12345678
daemon_stop
x_refused 3 swtok
say "done"
