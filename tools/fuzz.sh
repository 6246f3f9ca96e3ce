#!/usr/bin/env bash
# Fuzzes every target of the module in turn:  fuzz.sh TIME [PATTERN]
# TIME is for each target, as -fuzztime takes it; PATTERN narrows the targets' names.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:?fuzz.sh TIME [PATTERN]} pattern=${2:-.}

# Prints "./directory FuzzName" for each target.
targets() {
	find . -name testdata -prune -o -name tools -prune -o -name '*_test.go' -exec grep -Ho '^func Fuzz[A-Za-z0-9_]*' {} + |
		sed -E 's|/[^/]*:func | |' | sort -u
}

# One target. At the end of its time go's fuzzing sometimes reports its own deadline as a failure: with no
# input written down nothing has been found, and once more is allowed.
fuzz() {
	local try
	for try in 1 2; do
		if go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 20x "$1" >"$log" 2>&1; then
			return
		fi
		if [ "$try" -eq 2 ] || grep -q 'Failing input' "$log" || ! grep -q 'context deadline exceeded' "$log"; then
			cat "$log"
			return 1
		fi
	done
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
count=0 failed=0
while read -r dir name; do
	[[ $name =~ $pattern ]] || continue
	count=$((count + 1))
	if fuzz "$dir" "$name"; then
		printf 'fuzzed %s %s: %s\n' "$dir" "$name" "$(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
	else
		failed=$((failed + 1))
	fi
done < <(targets)
printf 'fuzz: %d passed, %d failed\n' $((count - failed)) "$failed"
[ "$failed" -eq 0 ]
