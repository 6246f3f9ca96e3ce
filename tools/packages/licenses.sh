#!/usr/bin/env bash
# Prints the licenses of what is linked into tokar, which those who pass the program on must pass on too.
set -euo pipefail
cd "$(dirname "$0")/../.."

show() { # NAME DIRECTORY
	local file found=
	for file in "$2"/LICENSE* "$2"/COPYING* "$2"/NOTICE*; do
		[ -f "$file" ] || continue
		found=1
		printf '\n== %s: %s\n\n' "$1" "${file##*/}"
		cat "$file"
	done
	[ "$found" ] || { echo "licenses.sh: $1 has none" >&2; exit 1; }
}

echo 'tokar contains the Go runtime and these modules:'
show "Go $(go env GOVERSION)" "$(go env GOROOT)"
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}	{{.Dir}}{{end}}{{end}}' . | sort -u |
	while IFS=$'\t' read -r module dir; do show "$module" "$dir"; done
