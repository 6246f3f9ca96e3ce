#!/usr/bin/env bash
# C_InitToken of 3.8.1 on a token that is in use with the default SO PIN: the master key is another, and MK_USER is
# left of the one before. After C_InitPIN extract --into brings the archive's objects under it.
#
#   opencryptoki.sh reinitialised TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

# With an SO PIN other than the default 3.8.1 leaves a token that its SO cannot open (fixed in 3.9.0).
so_pin=87654321
init_token() {
	conf -I -S 87654321 <<<"$1"
	conf -u -S 87654321 -n 12345678
	conf -p -U 12345678 -n "$3"
}
made_and_archived
printf %s "$user_pin" >"$work/then.pin"

say "C_InitToken, C_InitPIN with another PIN"
daemon_start
init_token 'initialised again' 87654321 12121212
user_pin=12121212
shows 0
daemon_stop
quiet test -s "$token/MK_USER"
! cmp -s "$token/MK_SO" "$work/made/MK_SO" || die "the master key is the same"
printf %s "$user_pin" >"$work/now.pin"
x 0 --into swtok --pin "file:$work/then.pin" --into-pin "file:$work/now.pin" swtok
daemon_start
opens 12121212 8
use_after
daemon_stop
say "done"
