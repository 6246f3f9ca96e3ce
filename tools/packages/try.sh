#!/usr/bin/env bash
# Tries the packages in a directory, and make install:
#   try.sh PACKAGES
# The .deb is installed below a directory by the real dpkg, used, and removed; nothing of this host is changed.
# What cannot be tried for want of a program is named, and with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin

packages=${1:?try.sh PACKAGES}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

wrong() {
	printf 'try.sh: %s\n' "$*" >&2
	exit 1
}

# able PROGRAM WHAT: is it here?
able() {
	if command -v "$1" >/dev/null; then
		return 0
	fi
	[ "${CI:-}" != true ] || wrong "$1 is not here"
	echo "not tried, for there is no $1: $2"
	return 1
}

# tree DIR: its files and directories, with their modes.
tree() { (cd "$1" && find . -mindepth 1 -printf '%m %P\n' | LC_ALL=C sort -k2); }

# Every package has the same files, and a program for its own machine.
unpacked() {
	local deb dir first= machine
	for deb in "$packages"/*.deb; do
		dir=$work/$(basename "$deb" .deb)
		dpkg-deb -x "$deb" "$dir"
		case $deb in
		*_amd64.deb) machine=003e ;;
		*_arm64.deb) machine=00b7 ;;
		*_ppc64el.deb) machine=0015 ;;
		*_s390x.deb) machine=0016 ;;
		*) wrong "whose is $deb?" ;;
		esac
		[ "$(elf "$dir/usr/bin/tokar")" = $machine ] || wrong "$deb has a program for another machine"
		[ -z "$first" ] || diff <(tree "$first") <(tree "$dir") || wrong "$first and $dir differ"
		[ -z "$(dpkg-deb --ctrl-tarfile "$deb" | tar t | grep -E '(pre|post)(inst|rm)' || true)" ] || wrong "$deb runs scripts"
		first=$dir
	done
	[ "$(find "$packages" -name '*.deb' | wc -l)" = 4 ] || wrong 'not four .debs'
	diff <(./tokar man | sed 's/$/.gz/' | LC_ALL=C sort) <(ls "$first"/usr/share/man/man? | grep gz | LC_ALL=C sort) ||
		wrong 'not all manual pages are there'
	[ "$(stat -c %a "$first/usr/bin/tokar")" = 755 ] || wrong 'the program has a wrong mode'
	grep -q 'golang.org/x/sys' "$first/usr/share/doc/tokar/copyright" || wrong 'licenses of modules are missing'
	echo "unpacked: $(tree "$first" | wc -l) files and directories in each .deb"
}

# elf FILE: the machine in its header, in hex.
elf() {
	local order
	order=$(od -An -tu1 -j5 -N1 "$1" | tr -d ' ')
	od -An -tx2 --endian="$([ "$order" = 2 ] && echo big || echo little)" -j18 -N2 "$1" | tr -d ' '
}

same_again() {
	(umask 077 && TZ=Asia/Tokyo LC_ALL=C tools/packages/build.sh "$work/again" build/tokar-linux-amd64) >/dev/null
	local package
	for package in "$work"/again/*; do
		cmp "$package" "$packages/$(basename "$package")" || wrong 'made again, a package is another'
	done
	echo 'made again: byte for byte the same'
}

# in_root ARGUMENTS: dpkg with a database of its own.
in_root() { dpkg --root="$root" --log=/dev/null --path-include='/usr/*' "$@" >>"$work/log" 2>&1 || { cat "$work/log"; wrong "dpkg $*"; }; }

installed() {
	local before
	mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"
	touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available"
	before=$(tree "$root" | grep -v dpkg)
	in_root --install "$packages"/*_"$(dpkg --print-architecture)".deb
	[ "$(chroot "$root" /usr/bin/tokar version)" = "$(./tokar version)" ] || wrong 'the program does not run'
	used "$root/usr" vendor-completions
	in_root --purge tokar
	[ "$(tree "$root" | grep -v dpkg)" = "$before" ] || { tree "$root"; wrong 'something is left'; }
	echo 'the .deb: installed, used and removed, and nothing is left'
}

# used USR ZSH: man finds the pages, and shells the completions, where they look for them.
used() (
	if able man "manual pages in $1"; then
		man -M "$1/share/man" -w 1 tokar-create >/dev/null && man -M "$1/share/man" -w 5 tokar-format >/dev/null || wrong 'man finds no page'
		man -M "$1/share/man" -P cat tokar 2>/dev/null | grep -q 'TOKAR_IDENTITY' || wrong 'man shows no page'
	fi
	export HOME=$work XDG_CONFIG_HOME=$work/none XDG_DATA_HOME=$work/none XDG_DATA_DIRS=$1/share
	local completed
	if [ -e /usr/share/bash-completion/bash_completion ] || able bash-completion 'the completion of bash'; then
		completed=$(PATH=$1/bin:$PATH bash --norc --noprofile -c '
			. /usr/share/bash-completion/bash_completion
			_completion_loader tokar
			COMP_LINE="tokar extr" COMP_POINT=10
			$(complete -p tokar | sed -E "s/.* -F ([^ ]*) .*/\1/") tokar extr tokar
			echo "${COMPREPLY[@]}"' 2>&1)
		[ "$completed" = extract ] || wrong "bash completes to $completed"
	fi
	if able zsh 'the completion of zsh'; then
		completed=$(zsh -f -c "fpath=($1/share/zsh/$2 \$fpath); autoload -Uz compinit; compinit -u -D; print \$_comps[tokar]")
		[ "$completed" = _tokar ] || wrong "zsh completes by $completed"
	fi
	if able fish 'the completion of fish'; then
		completed=$(PATH=$1/bin:$PATH fish -c 'complete -C "tokar extr"' | cut -f1)
		[ "$completed" = extract ] || wrong "fish completes to $completed"
	fi
)

# Both kinds of package have the same files, but where each has its licenses, its changelog and zsh's script.
rpms() {
	local rpm
	for rpm in "$packages"/*.rpm; do
		rpm -K --nosignature "$rpm" >/dev/null || wrong "$rpm is damaged"
		[ -z "$(rpm -qp --scripts "$rpm" 2>/dev/null)" ] || wrong "$rpm runs scripts"
		[ "$(rpm -qp --licensefiles "$rpm" 2>/dev/null | wc -l)" = 2 ] || wrong "$rpm lacks a license"
		rpm -qp --docfiles "$rpm" 2>/dev/null | grep -q man1/tokar.1.gz || wrong "$rpm has no documents"
		diff <(rpm -qlp "$rpm" 2>/dev/null | same_names) <(dpkg-deb --fsys-tarfile "$packages"/*_amd64.deb | tar t | grep -v '/$' | sed 's/^\.//' | same_names) ||
			wrong "$rpm has other files than the .deb"
	done
	echo 'the .rpms: whole, without scripts, and with the files of the .deb'
}
same_names() { grep -v -e '/licenses/' -e '/doc/tokar/copyright$' -ie '/doc/tokar/changelog' -e '/doc/tokar$' -e '/doc/tokar/docs$' | sed 's/vendor-completions/site-functions/' | LC_ALL=C sort; }

make_install() {
	(umask 077 && make install DESTDIR="$work/local") >/dev/null
	[ -z "$(find "$work/local" -mindepth 1 ! -perm -o=r)" ] || wrong "make install put what not everybody can read"
	cmp ./tokar "$work/local/usr/local/bin/tokar" || wrong 'make install put another program'
	used "$work/local/usr/local" site-functions
	make uninstall DESTDIR="$work/local" >/dev/null
	[ -z "$(find "$work/local" -type f)" ] || { find "$work/local" -type f; wrong 'make uninstall left something'; }
	echo 'make install, make uninstall: nothing is left'
}

if able dpkg-deb 'what is in the packages'; then
	unpacked
	if [ "$(id -u)" = 0 ]; then
		installed
	else
		[ "${CI:-}" != true ] || wrong 'dpkg needs root'
		echo 'not tried without root: installing the .deb'
	fi
	if able rpm 'what is in the .rpms'; then rpms; fi
fi
same_again
make_install
