#!/usr/bin/env bash
# Restoring over a token in use: refused while pkcsslotd runs or a process maps the token's shared memory. Single
# objects may go in all the same, and the output says what applications will see.
#
#   opencryptoki.sh inuse TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
# shellcheck source-path=SCRIPTDIR source=application.sh
. "$(dirname "$0")/application.sh"
private_data=swtok/70000000

made_and_archived

say "pkcsslotd runs, and nothing else"
daemon_start
quiet p11 --delete-object --type data --label 'private data'
shows 7
for flags in '' --keep-pins --roll-back-pins --replace-token --token-in-use; do
	# shellcheck disable=SC2086 # no flag at all
	x_refused 5 $flags swtok
	says "pkcsslotd.*$(cat /run/pkcsslotd.pid)"
done
x_refused 5 "$private_data"
say "a single object, with --token-in-use: the next program sees it"
x 0 --token-in-use "$private_data"
[ ! -e "$token.tokar-old" ] || die "a token is kept, which was not replaced"
opens "$user_pin" 8
quiet p11 --read-object --type data --label 'private data' -o "$work/private.out"
quiet cmp "$work/private.txt" "$work/private.out"

say "pkcsslotd runs, and an application has a session open: what is mapped stays"
quiet p11 --delete-object --type data --label 'private data'
hold 7
x_refused 5 swtok
x_refused 5 "$private_data"
x 1 --token-in-use "$private_data"
says "swtok: segment: .*process $held "
[ -e "$segment" ] || die "the segment that an application maps is gone"
sees 7
shows 7
say "what programs do meanwhile does not lose it"
quiet p11 --write-object "$work/public.txt" --type data --label 'made meanwhile'
sees 8
quiet p11 --delete-object --type data --label 'made meanwhile'
quiet cmp "$token/TOK_OBJ/70000000" "$work/made/TOK_OBJ/70000000"
let_go
shows 7 # the segment outlives its users
say "with the application gone, the same again removes it"
x 0 --token-in-use "$private_data"
opens "$user_pin" 8

say "pkcsslotd is dead, and an application has a session open"
quiet p11 --delete-object --type data --label 'private data'
hold 7
kill -9 "$(cat /run/pkcsslotd.pid)"
await ended "$(cat /run/pkcsslotd.pid)"
for flags in '' --keep-pins --roll-back-pins --replace-token --token-in-use; do
	# shellcheck disable=SC2086
	x_refused 5 $flags swtok
	says "process $held "
done
x_refused 5 "$private_data"
sees 7
x 1 --token-in-use "$private_data"
says "swtok: segment: .*process $held "
sees 7
let_go
say "the application gone, it is restored whole"
x 0 swtok
rm -f /run/pkcsslotd.pid /run/pkcsslotd.socket
daemon_start
opens "$user_pin" 8
daemon_stop
say "done"
