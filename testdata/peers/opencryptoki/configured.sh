#!/usr/bin/env bash
# What the real pkcsslotd says of configurations: DIR has one file each. Prints NAME and "taken", "refused" or "died".
# 3.8.1 goes on after what it cannot read, and says "parse error"; that counts as refused.
#
#   opencryptoki.sh configured TOKAR WORK DIR
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
dir=$1
private_system

for conf in "$dir"/*; do
	cp "$conf" "$work/now.conf"
	mount --bind "$work/now.conf" /etc/opencryptoki/opencryptoki.conf
	said=died
	if pkcsslotd >"$work/said" 2>&1; then
		await test -S /run/pkcsslotd.socket -a -s /run/pkcsslotd.pid
		said=taken
		daemon_stop
	fi
	# A character that no rule of its lexer knows is named with the same words.
	if grep -q 'parse error' "$work/said"; then said=refused; fi
	printf 'judged %s %s %s\n' "$(basename "$conf")" "$said" "$(tr '\n' ' ' <"$work/said")"
	umount /etc/opencryptoki/opencryptoki.conf
done
say "done"
