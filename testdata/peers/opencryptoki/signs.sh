#!/usr/bin/env bash
# The real library over token directories, for tests that make many: in each it logs in, and signs with every RSA key.
#
#   opencryptoki.sh signs TOKAR WORK PIN DIRECTORY…      prints "OBJECTS SIGNATURES DIRECTORY" for each
#
# A directory is copied, with owners and modes, and only the copy used. One that does not open, an RSA private key
# that does not sign, a signature that its public key does not verify: any of these ends the session with an error.
# TOKAR is not run. About 0.1 s for the first directory and 0.06 s for each further one with one key.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=softtoken.sh
. "$(dirname "$0")/softtoken.sh"
# shellcheck disable=SC2034 # p11 uses it
user_pin=$1
shift

printf 'twenty bytes to sign' >"$work/digest"
daemon_start
for directory in "$@"; do
	rm -rf "$token"
	forget_segment
	cp -a "$directory" "$token"
	listing "$work/listing"
	signed=0
	while read -r id; do
		quiet p11 --read-object --type pubkey --id "$id" -o "$work/rsa.pub"
		signs "$id" "$work/rsa.pub"
		signed=$((signed + 1))
	done < <(awk '/^[A-Z]/ { private = /^Private Key Object; RSA/ } private && $1 == "ID:" { print $2 }' "$work/listing")
	printf '%d %d %s\n' "$(grep -c '^[A-Z]' "$work/listing" || true)" "$signed" "$directory"
done
daemon_stop
