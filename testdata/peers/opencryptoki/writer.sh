#!/usr/bin/env bash
# Single objects go into a token while an application makes objects in it, as fast as it can: none is lost, neither
# of the application's nor of those restored.
#
#   opencryptoki.sh writer TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
# shellcheck source-path=SCRIPTDIR source=application.sh
. "$(dirname "$0")/application.sh"

made_and_archived
daemon_start
quiet p11 --delete-object --type privkey --id 01
quiet p11 --delete-object --type pubkey --id 01
for label in 'public data' 'private data'; do quiet p11 --delete-object --type data --label "$label"; done
hold 4

# Makes objects until the file is there; then each has an answer.
made=0
while [ ! -e "$work/enough" ]; do
	made=$((made + 1))
	sees $((4 + made)) "object $made"
done &
writer=$!

busy=0
for name in 10000000 00000000 60000000 70000000; do
	while :; do
		got=0
		"$tokar" extract -i "$work/restore.key" -f "$work/token.tokar" -C "$base" --token-in-use "swtok/$name" >"$work/exits.log" 2>&1 || got=$?
		[ "$got" -eq 5 ] || break
		says 'changed meanwhile'
		busy=$((busy + 1))
	done
	[ "$got" -eq 1 ] || { cat "$work/exits.log"; die "exit code $got"; }
	says "swtok: segment: .*process $held "
done
touch "$work/enough"
wait "$writer"
let_go
daemon_stop
made=$(($(wc -l <"$token/TOK_OBJ/OBJ.IDX") - 8))
say "4 objects restored while the application made $made; told to try again $busy times"
forget_segment
daemon_start
opens "$user_pin" $((8 + made))
[ "$(grep -c "label: *'object " "$work/listing.shows")" -eq "$made" ] || die "objects of the application are lost"
daemon_stop
say "done"
