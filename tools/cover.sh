#!/bin/bash
# cover.sh: how many statements the tests of format, stages and backends run,
# and whether that is enough. Neither runs of the built program nor the long
# tests are counted.
set -euo pipefail
profile=$(mktemp)
trap 'rm -f "$profile" "$profile.log"' EXIT
packages=(./format/... ./stages ./backends/...)
go test -short -count=1 -timeout 10m -coverprofile "$profile" -coverpkg "$(IFS=,; echo "${packages[*]}")" "${packages[@]}" >"$profile.log" ||
	{ cat "$profile.log"; exit 1; }
awk '
	/^mode:/ { next }
	{
		of = $1; sub(/:.*/, "", of); sub(/\/[^\/]*$/, "", of)
		statements[$1] = $2; package[$1] = of
		if ($3 > 0) run[$1] = 1
	}
	END {
		least["format"] = 95; least["stages"] = 95; least["backends"] = 90
		for (block in statements) {
			split(package[block], part, "/")
			if (part[3] == "backendtest") continue # tests itself
			all[part[2]] += statements[block]
			if (block in run) hit[part[2]] += statements[block]
		}
		for (name in least) {
			share = 100 * hit[name] / all[name]
			printf "%s: %.1f %% of %d statements, wanted %d %%\n", name, share, all[name], least[name]
			if (share < least[name]) bad = 1
		}
		exit bad
	}' "$profile"
