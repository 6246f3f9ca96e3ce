# shellcheck shell=bash
# An sshd of the session's own, on the loopback interface of its network namespace: `vault` is a command there.
# Sourced after softtoken.sh, whose work directory it uses.

ssh_start() {
	# shellcheck disable=SC2154 # softtoken.sh has it
	local ssh=$work/ssh
	ip link set lo up
	mkdir -p "$ssh" /run/sshd
	quiet ssh-keygen -q -t ed25519 -N '' -f "$ssh/host"
	quiet ssh-keygen -q -t ed25519 -N '' -f "$ssh/user"
	cat >"$ssh/sshd_config" <<-CONFIG
		ListenAddress 127.0.0.1:2222
		HostKey $ssh/host
		PidFile $ssh/sshd.pid
		AuthorizedKeysFile $ssh/user.pub
		StrictModes no
		UsePAM no
		PermitRootLogin prohibit-password
	CONFIG
	cat >"$ssh/config" <<-CONFIG
		Host vault.test
		HostName 127.0.0.1
		Port 2222
		User root
		IdentityFile $ssh/user
		IdentitiesOnly yes
		IdentityAgent none
		UserKnownHostsFile $ssh/known_hosts
		StrictHostKeyChecking yes
		BatchMode yes
	CONFIG
	printf '[127.0.0.1]:2222 %s\n' "$(cut -d ' ' -f 1,2 "$ssh/host.pub")" >"$ssh/known_hosts"
	# sshd lets nobody in whose account is locked, as root's is on many hosts.
	echo 'root:*:1::::::' >"$ssh/shadow"
	mount --bind "$ssh/shadow" /etc/shadow
	quiet "$(command -v sshd)" -f "$ssh/sshd_config" -E "$ssh/sshd.log"
	await test -s "$ssh/sshd.pid" # written when it listens
	quiet vault true
}

vault() { ssh -F "$work/ssh/config" vault.test "$@" || { cat "$work/ssh/sshd.log" >&2; return 1; }; }

ssh_stop() {
	local pid
	pid=$(cat "$work/ssh/sshd.pid")
	kill "$pid"
	await ended "$pid"
}
