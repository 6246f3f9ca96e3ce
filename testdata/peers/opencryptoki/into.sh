#!/usr/bin/env bash
# A token is initialised again, by which 3.8.1 makes another master key; extract --into brings the archive's objects
# under it, and the library lists and uses them with the new PIN.
#
#   opencryptoki.sh into TOKAR WORK
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"

made_and_archived
printf %s "$user_pin" >"$work/then.pin"

say "initialised again since, with other PINs: another master key"
rm -rf "$token"
forget_segment
systemd-tmpfiles --create opencryptoki.conf
daemon_start
init_token 'initialised again' 44443333 12121212
user_pin=12121212
quiet p11 --write-object "$work/public.txt" --type data --label 'of today' --private
shows 1
daemon_stop
printf %s "$user_pin" >"$work/now.pin"
x_refused 3 'swtok/*0000000'

say "extract --into"
x 0 --into swtok --pin "file:$work/then.pin" --into-pin "file:$work/now.pin" swtok
says 'objects whose name was taken have another: 1 (00000000 as 80000000)'
daemon_start
shows 9
opens 12121212 9
so_opens 44443333
use_after
shows 10
daemon_stop

say "once more: all is there"
x 0 --into swtok --pin "file:$work/then.pin" --into-pin "file:$work/now.pin" swtok
says 'there already, with the same content: 8'
daemon_start
shows 10
daemon_stop
say "done"
