#!/usr/bin/env bash
# Installs a program with its manual pages, completions and documents, or takes them away:
#   install.sh put | remove
# with DESTDIR, PREFIX, ZSHDIR and PROGRAM as `make install` sets them. ./tokar prints the pages and scripts;
# PROGRAM may be one for another machine.
set -euo pipefail
umask 022 # for directories that are not there yet
cd "$(dirname "$0")/.."

action=${1:?install.sh put | remove}
share=$DESTDIR$PREFIX/share

# place MODE FILE: puts stdin there, or removes the file.
place() {
	if [ "$action" = put ]; then
		install -d "${2%/*}"
		install -m "$1" /dev/stdin "$2"
	else
		cat >/dev/null
		rm -f "$2"
	fi
}

[ -x ./tokar ] || { echo 'install.sh: there is no ./tokar; run make build first' >&2; exit 1; }
place 755 "$DESTDIR$PREFIX/bin/tokar" <"$PROGRAM"
for page in $(./tokar man); do
	./tokar man "$page" | gzip -9n | place 644 "$share/man/man${page##*.}/$page.gz"
done
./tokar completion bash | place 644 "$share/bash-completion/completions/tokar"
./tokar completion fish | place 644 "$share/fish/vendor_completions.d/tokar.fish"
./tokar completion zsh | place 644 "$DESTDIR$ZSHDIR/_tokar"
for document in README.md CHANGELOG.md LICENSE docs/*.md; do
	place 644 "$share/doc/tokar/$document" <"$document"
done
[ "$action" = put ] || rmdir "$share/doc/tokar/docs" "$share/doc/tokar" 2>/dev/null || true
