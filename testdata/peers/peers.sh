#!/usr/bin/env bash
# The real programs that tokar's tests meet, and the Debian packages they come from.
#
#   peers.sh missing    one line for each peer that is not on this machine; exit 1 if there is any
#   peers.sh install    apt-get what is missing: for CI only, a user's host is never changed
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

# package | how to see that it is there | what is not shown without it
peers='
opencryptoki          | command -v pkcsslotd pkcsconf                        | the real openCryptoki library does not open restored tokens
opensc                | command -v pkcs11-tool                               | the real openCryptoki library is not asked through PKCS#11
openssl               | command -v openssl                                   | restored keys are not used
util-linux            | command -v unshare                                   | openCryptoki cannot run apart from the one of this host
iproute2              | command -v ip                                         | openCryptoki sessions have no network of their own, for ssh
age                   | command -v age age-keygen                            | key slots are not opened by the age program
zstd                  | command -v zstd                                      | archives are not opened by the zstd program
xz-utils              | command -v xz                                        | archives are not opened by the xz program
restic                | command -v restic                                     | make bench does not measure restic
borgbackup            | command -v borg                                       | make bench does not measure borg
openssh-client        | command -v ssh ssh-keygen ssh-agent ssh-add          | keys and signatures are not those of ssh-keygen and ssh-agent
openssh-server        | command -v sshd                                       | archives do not travel through ssh
qemu-user-static      | command -v qemu-s390x-static                         | nothing runs as big-endian s390x
python3               | /usr/bin/python3 -c "import ctypes"                  | no application holds a session open while a token is restored
python3-cryptography  | /usr/bin/python3 -c "import cryptography"            | the independent reader cannot judge the vectors
python3-zstandard     | /usr/bin/python3 -c "import zstandard"               | the independent reader cannot judge the vectors
mandoc                | command -v mandoc                                     | manual pages are not judged by mandoc
man-db                | command -v man                                        | manual pages are not shown by man
groff                 | command -v groff && test -e /usr/share/groff/current/tmac/an.tmac | manual pages are not judged by groff
bash-completion       | test -e /usr/share/bash-completion/bash_completion    | bash does not find the completion that the package has
zsh                   | command -v zsh                                        | nothing is completed in zsh
fish                  | command -v fish                                       | nothing is completed in fish
rpm                   | command -v rpm                                        | nobody looks into the .rpm
jq                    | command -v jq                                         | examples that read the JSON lines are not run
gpg                   | command -v gpg gpgconf                                | a PGP message is not told from an archive
sqlite3               | command -v sqlite3                                    | a database is not told from an archive
zip                   | command -v zip                                        | zip is not told from an archive
bzip2                 | command -v bzip2                                      | bzip2 is not told from an archive
gcc                   | command -v gcc                                       | the race detector does not run
'

# Prints "package|what" for each absent peer.
absent() {
	local package probe what
	while IFS='|' read -r package probe what; do
		[ -n "${package// /}" ] || continue
		bash -c "$probe" >/dev/null 2>&1 || printf '%s|%s\n' "${package// /}" "${what# }"
	done <<<"$peers"
}

missing() {
	local list
	list=$(absent)
	[ -n "$list" ] || return 0
	awk -F'|' '{ printf "not here: %s: %s\n", $1, $2 }' <<<"$list"
	return 1
}

retried() {
	local try log
	log=$(mktemp)
	for try in 1 2 3; do
		if "$@" >"$log" 2>&1; then
			rm -f "$log"
			return
		fi
		sleep $((try * 5))
	done
	cat "$log" >&2
	rm -f "$log"
	printf 'peers.sh: failed three times: %s\n' "$*" >&2
	return 1
}

install() {
	local packages
	packages=$(absent | cut -d'|' -f1)
	[ -n "$packages" ] || return 0
	printf 'installing: %s\n' "$(tr '\n' ' ' <<<"$packages")"
	export DEBIAN_FRONTEND=noninteractive
	retried apt-get update -q
	# shellcheck disable=SC2086 # one word a package
	retried apt-get install -q -y --no-install-recommends $packages
	missing
}

case ${1:-} in
missing) missing ;;
install) install ;;
*)
	echo 'usage: peers.sh missing | install' >&2
	exit 2
	;;
esac
