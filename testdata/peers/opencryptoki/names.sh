#!/usr/bin/env bash
# The library counts the names of its objects in NVTOK.DAT. Where the one that stays is older than what is restored,
# it does not give those names out again: that would write over what was restored.
#
#   opencryptoki.sh names TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
# shellcheck source-path=SCRIPTDIR source=application.sh
. "$(dirname "$0")/application.sh"

made_and_archived
daemon_start
for label in eighth ninth; do quiet p11 --write-object "$work/private.txt" --type data --label "$label" --private; done
daemon_stop
cp "$token/TOK_OBJ/90000000" "$work/ninth"
quiet "$tokar" create -R "$work/restore.key.pub" -f "$work/token.tokar" "$token"

# next NAME: what the library will call the next object.
next() { [ "$(dd if="$token/NVTOK.DAT" bs=1 skip=208 count=8 status=none)" = "$1" ] || die "the next name is not $1"; }

# kept N: the library makes three objects, then there are N, and the ninth has its bytes.
kept() {
	for label in first second third; do quiet p11 --write-object "$work/public.txt" --type data --label "$label"; done
	quiet cmp "$token/TOK_OBJ/90000000" "$work/ninth"
	opens "$user_pin" "$1"
	quiet p11 --read-object --type data --label ninth -o "$work/private.out"
	quiet cmp "$work/private.txt" "$work/private.out"
}

say "a single object into the token as it was before"
again
next 80000000
x 0 swtok/90000000
next A0000000
daemon_start
kept 12
daemon_stop

say "while pkcsslotd runs"
again
daemon_start
shows 8
x 0 --token-in-use swtok/90000000
kept 12
daemon_stop

say "while an application has a session open: it goes on counting where it was"
again
daemon_start
hold 8
x_refused 5 --token-in-use swtok/90000000
says "process $held "
sees 9 first
sees 10 second
let_go
x 1 --token-in-use swtok/90000000
says 'swtok: exists: ' # the name is given, and what has it stays
daemon_stop

say "the whole token, over one as it was before with a PIN changed since"
again
daemon_start
conf -p -U "$user_pin" -n 55556666
daemon_stop
x 1 swtok
says 'swtok: pins-kept: '
next A0000000
user_pin=55556666
daemon_start
kept 13
daemon_stop
say "done"
