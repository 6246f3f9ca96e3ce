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

# stage FORMAT PROGRAM: a tree with the files of a package, where the distributions that have the format expect them.
stage() {
	local zsh=/usr/share/zsh/site-functions doc=$root/usr/share/doc/tokar licenses=$root/usr/share/licenses/tokar
	[ "$1" = rpm ] || zsh=/usr/share/zsh/vendor-completions
	DESTDIR=$root PREFIX=/usr ZSHDIR=$zsh PROGRAM=$2 tools/install.sh put
	case $1 in
	deb)
		rm "$doc/LICENSE"
		cat "$here/copyright" "$work/licenses" >"$doc/copyright"
		gzip -9n <"$doc/CHANGELOG.md" >"$doc/changelog.gz"
		rm "$doc/CHANGELOG.md"
		printf 'tokar (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$PACKAGE_VERSION" \
			"$(sed -n 's/^maintainer: //p' "$here/nfpm.yaml")" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" |
			gzip -9n >"$doc/changelog.Debian.gz"
		;;
	rpm)
		install -d "$licenses"
		mv "$doc/LICENSE" "$licenses/LICENSE"
		cp "$work/licenses" "$licenses/LICENSE.modules"
		;;
	esac
}

# metadata FORMAT: what the package says of itself. A .deb tells its license in the file copyright.
metadata() {
	cat "$here/nfpm.yaml"
	[ "$1" = deb ] || echo 'license: Apache-2.0'
}

# contents FORMAT: nfpm's list of the tree. Of directories only our own are the package's; an .rpm marks what is a
# document or a license.
contents() {
	echo contents:
	find "$root" -type f -printf '  - {src: "%p", dst: "/%P", file_info: {mode: 0%m}}\n' \
		-o -path '*/tokar*' -printf '  - {type: dir, dst: "/%P", file_info: {mode: 0%m}}\n' | LC_ALL=C sort |
		if [ "$1" = rpm ]; then
			sed -E '/src:/{s|dst: "/usr/share/licenses/|type: license, &|; s|dst: "/usr/share/(doc\|man)/|type: doc, &|}'
		else
			cat
		fi
}

for program; do
	export ARCH=${program##*-}
	for format in deb rpm; do
		root=$work/$format.$ARCH
		stage "$format" "$program"
		{ metadata "$format"; contents "$format"; } >"$work/nfpm.yaml"
		"$work/nfpm" package -f "$work/nfpm.yaml" -p "$format" -t "$out/" >"$work/log" || { cat "$work/log" >&2; exit 1; }
		rm -rf "$root"
	done
done
ls "$out" | sed "s|^|made $out/|"
