# shellcheck shell=bash
# An application with a session open on the token, whose shared memory it maps.
# Sourced after softtoken.sh, whose slot, PIN and work directory it uses.

# hold N: starts it, and it sees N objects.
hold() {
	coproc holder { exec "$(dirname "$0")/hold.py" libopencryptoki.so.0 "${slot:?}" "${user_pin:?}" 2>"${work:?}/hold.log"; }
	# shellcheck disable=SC2154 # coproc sets it
	held=$holder_PID
	exec {ask}>&"${holder[1]}"- {answer}<&"${holder[0]}"- # what coproc opens is closed in subshells
	sees "$1"
}

# sees N [LABEL]: it sees N objects, after making one of this label.
sees() {
	local got=none
	echo "${2-}" >&"$ask"
	read -r -t 10 got <&"$answer" || { cat "$work/hold.log" >&2; die "the application does not answer"; }
	[ "$got" = "$1" ] || die "the application sees $got objects, not $1"
}

# By end of input, for a process that is killed leaves its session counted.
let_go() {
	exec {ask}>&- {answer}<&-
	await ended "$held"
}
