#!/usr/bin/env bash
# The real openCryptoki library judges what tokar restores.
#
#   opencryptoki.sh SESSION TOKAR WORK [ARGUMENT…]
#
# SESSION is a script in opencryptoki/, whose head says what it shows; TOKAR the program; WORK an empty directory,
# all that is written to. Run by peers_test.go as root: namespaces of its own keep the host's daemon, token data,
# locks, shared memory and ports out of it, and end with the session, whatever is left running in them.
# Debian's openCryptoki 3.8.1 and pkcs11-tool.
set -euo pipefail

session=$1
shift
exec unshare -m -i -n -p -f --kill-child --mount-proc "$(dirname "$0")/opencryptoki/$session.sh" "$@"
