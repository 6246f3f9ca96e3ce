#!/usr/bin/env bash
# A tour of tokar on a real token: archive, list, verify, restore, compare. Needs no service, no root and
# no network, and leaves nothing behind.   demo.sh TOKAR
set -euo pipefail

tokar=$(realpath "${1:?demo.sh TOKAR}")
token=$(realpath "$(dirname "$0")/../testdata/opencryptoki/swtok-old-small")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$work/bin:$PATH
mkdir "$work/bin" "$work/host" "$work/vault" "$work/new-host"
ln -s "$tokar" "$work/bin/tokar"
cp -rp "$token" "$work/host/swtok"
find "$work/host" -type d -exec chmod 0770 {} + -o -type f -exec chmod 0660 {} +
cd "$work"

tell() { printf '\n# %s\n' "$*"; }
# Shows a command as one would type it, then runs it; at most $lines lines of what it prints.
lines=40
run() {
	printf '$ %s\n' "$1"
	bash -c "set -euo pipefail; $1" 2>&1 | awk -v n="$lines" 'NR <= n; END { if (NR > n) printf "… %d lines more\n", NR - n }'
}

# Everything a restore has to bring back: names, types, modes, owners, times and bytes.
state() { (cd "$1" && find . -printf '%p %y %m %U:%G %T@\n' -type f -exec sha256sum {} \; | sort); }

tell 'host/swtok is a Soft token that openCryptoki 3.8.1 wrote: RSA keys, secrets, a certificate, data.'
run 'ls -l host/swtok | tail -n +2'
run 'ls host/swtok/TOK_OBJ | wc -l'

tell 'Two keys: one restores, the other can only list and verify. Their .pub halves are all a host needs.'
run 'tokar keygen -o vault/restore.key'
run 'tokar keygen -o vault/verify.key'

tell 'The token goes into one stream, through a pipe, sealed before it leaves.'
run 'tokar create -R vault/restore.key.pub --verifier-file vault/verify.key.pub host/swtok | cat > vault/host7.tokar'
run 'wc -c vault/host7.tokar'

tell 'What is in it? The verify key shows names and labels, never a private payload.'
run 'tokar list -i vault/verify.key -f vault/host7.tokar'

tell 'Is it whole and authentic? Once with the verify key, once with no key at all (bit rot, truncation).'
run 'tokar verify -i vault/verify.key -f vault/host7.tokar'
run 'tokar verify --no-key -f vault/host7.tokar'

tell 'One byte of a copy changes: tokar says so, and exits with 7.'
cp vault/host7.tokar vault/rotten.tokar
size=$(stat -c %s vault/rotten.tokar)
printf 'X' | dd of=vault/rotten.tokar bs=1 seek=$((size / 2)) conv=notrunc status=none
run 'tokar verify -i vault/verify.key -f vault/rotten.tokar || echo "exit code $?"'

tell 'One object, to stdout.'
run 'tokar cat -i vault/restore.key -f vault/host7.tokar swtok/00000000 | cmp - host/swtok/TOK_OBJ/00000000 && echo equal'

tell 'The other way: out of the pipe, checked to the end, then moved into its place on another host.'
run 'cat vault/host7.tokar | tokar extract -i vault/restore.key -C new-host swtok'

tell 'Equal? Every byte, mode, owner and time.'
printf '$ diff -r host/swtok new-host/swtok\n'
diff -r host/swtok new-host/swtok
diff <(state host/swtok) <(state new-host/swtok)
printf '%d files and directories are equal.\n' "$(find new-host/swtok | wc -l)"
