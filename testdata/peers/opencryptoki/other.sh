#!/usr/bin/env bash
# Restoring over another token, and over one of which it cannot be told: both are left alone unless a flag says what
# the operator knows.
#
#   opencryptoki.sh other TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

made_and_archived
then_user=$user_pin then_so=$so_pin

say "initialised again since: another master key, which in 3.8.1 the SO's PIN does not open"
daemon_start
conf -I -S "$then_so" <<<'another token'
refused CKR_USER_PIN_NOT_INITIALIZED --login --pin "$then_user"
refused CKR_FUNCTION_FAILED --login --session-rw --login-type so --so-pin "$then_so"
daemon_stop
quiet cmp "$token/MK_USER" "$work/made/MK_USER" # of the old master key, and no proof of the new one
x_refused 3 swtok
says 'another token'
x_refused 3 --roll-back-pins swtok
x_refused 3 --keep-pins swtok
x 0 --replace-token --no-keep swtok
daemon_start
opens "$then_user" 8
so_opens "$then_so"
daemon_stop

# another SO-PIN USER-PIN: a token that has nothing of the archive's.
another() {
	rm -rf "$token"
	forget_segment
	systemd-tmpfiles --create opencryptoki.conf
	daemon_start
	init_token 'another token' "$1" "$2"
	user_pin=$2
	quiet p11 --write-object "$work/public.txt" --type data --label 'of another token' --private
	shows 1
	daemon_stop
	state "$token" "$work/state.other"
}

say "another token, of the same SO"
another "$then_so" 12121212
x_refused 3 swtok
says 'another token'
x_refused 3 --keep-pins swtok
x_refused 3 swtok/70000000 # the private data object
daemon_start
shows 1
so_opens "$then_so"
daemon_stop
rm -rf "$token"
another "$then_so" 12121212
x 0 --replace-token swtok
says 'takes the place'
state "$token.tokar-old" "$work/state.old"
same "$work/state.other" "$work/state.old" "the other token is not kept as it was"
daemon_start
refuses 12121212
opens "$then_user" 8
so_opens "$then_so"
daemon_stop
rm -r "$token.tokar-old"

say "another token, with other PINs: it cannot be told"
another 44443333 12121212
x_refused 3 swtok
says 'cannot be told'
x 0 --replace-token --no-keep swtok
daemon_start
opens "$then_user" 8
so_opens "$then_so"
daemon_stop

say "the same token, both PINs changed and no private object left: it cannot be told"
again
daemon_start
quiet p11 --delete-object --type data --label 'private data'
quiet p11 --delete-object --type privkey --id 01
conf -p -U "$then_user" -n 55556666
conf -P -S "$then_so" -n 44443333
daemon_stop
rm -rf "$work/untold"
cp -a "$token" "$work/untold"
x_refused 3 swtok
says 'cannot be told'
x 1 --keep-pins swtok
says 'swtok: pins-kept: '
daemon_start
refuses "$then_user"
opens 55556666 8
so_refuses "$then_so"
so_opens 44443333
daemon_stop
rm -r "$token" "$token.tokar-old"
cp -a "$work/untold" "$token"
x 0 --roll-back-pins swtok
daemon_start
refuses 55556666
opens "$then_user" 8
so_refuses 44443333
so_opens "$then_so"
daemon_stop
say "done"
