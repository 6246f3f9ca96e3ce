#!/usr/bin/env bash
# Makes a .deb and an .rpm of each program:
#   build.sh OUT PROGRAM-linux-ARCH…
# PACKAGE_VERSION and SOURCE_DATE_EPOCH come from `make packages`; nfpm dates everything by the latter. The same
# commit makes the same bytes.
set -euo pipefail
umask 022
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

out=${1:?build.sh OUT PROGRAM…}
shift
rm -rf "$out"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -C tools -o "$work/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm
"$here/licenses.sh" >"$work/licenses"

# stage FORMAT PROGRAM: a tree with the files of a package.
stage() {
	local zsh=/usr/share/zsh/site-functions doc=$root/usr/share/doc/tokar licenses=$root/usr/share/licenses/tokar
	[ "$1" = rpm ] || zsh=/usr/share/zsh/vendor-completions
	DESTDIR=$root PREFIX=/usr ZSHDIR=$zsh PROGRAM=$2 tools/install.sh put
	case $1 in
	deb)
		cat "$here/copyright" "$work/licenses" >"$doc/copyright"
		rm "$doc/LICENSE"
		;;
	rpm)
		install -d "$licenses"
		mv "$doc/LICENSE" "$licenses/LICENSE"
		cp "$work/licenses" "$licenses/LICENSE.modules"
		;;
	esac
}

# contents: nfpm's list of the tree. Of directories only our own are the package's.
contents() {
	echo contents:
	find "$root" -type f -printf '  - {src: "%p", dst: "/%P", file_info: {mode: 0%m}}\n' \
		-o -path '*/tokar*' -printf '  - {type: dir, dst: "/%P", file_info: {mode: 0%m}}\n' | LC_ALL=C sort
}

for program; do
	export ARCH=${program##*-}
	for format in deb rpm; do
		root=$work/$format.$ARCH
		stage "$format" "$program"
		{ cat "$here/nfpm.yaml"; contents; } >"$work/nfpm.yaml"
		"$work/nfpm" package -f "$work/nfpm.yaml" -p "$format" -t "$out/" >"$work/log" || { cat "$work/log" >&2; exit 1; }
		rm -rf "$root"
	done
done
ls "$out" | sed "s|^|made $out/|"
