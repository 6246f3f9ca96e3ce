package opencryptoki

import (
	"fmt"
	"strings"
)

// maxDiffLines bounds what is compared line by line, and what of it is shown.
const (
	maxDiffLines  = 2000
	maxShownLines = 200
)

// lineDiff is what makes b of a, as lines: "-" only a has, "+" only b, " " both, one
// of those beside each change; "@@ N" is where in a it stands.
func lineDiff(a, b []byte) (out []string) {
	as, bs := splitLines(a), splitLines(b)
	head := 0
	for head < len(as) && head < len(bs) && as[head] == bs[head] {
		head++
	}
	tail := 0
	for tail < len(as)-head && tail < len(bs)-head && as[len(as)-1-tail] == bs[len(bs)-1-tail] {
		tail++
	}
	ma, mb := as[head:len(as)-tail], bs[head:len(bs)-tail]
	if len(ma) > maxDiffLines || len(mb) > maxDiffLines {
		return []string{fmt.Sprintf("%d lines here, %d in the archive", len(as), len(bs))}
	}
	// length[i][j] is that of the longest sequence that ma[i:] and mb[j:] share.
	length := make([][]uint16, len(ma)+1)
	for i := range length {
		length[i] = make([]uint16, len(mb)+1)
	}
	for i := len(ma) - 1; i >= 0; i-- {
		for j := len(mb) - 1; j >= 0; j-- {
			if ma[i] == mb[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	shared, context := true, ""
	if head > 0 {
		context = as[head-1]
	}
	change := func(sign, line string, at int) {
		if shared {
			out = append(out, fmt.Sprintf("@@ %d", at+1))
			if at > 0 {
				out = append(out, " "+context)
			}
		}
		shared = false
		out = append(out, sign+line)
	}
	i, j := 0, 0
	for i < len(ma) || j < len(mb) {
		switch {
		case i < len(ma) && j < len(mb) && ma[i] == mb[j]:
			if !shared {
				out = append(out, " "+ma[i])
			}
			shared, context = true, ma[i]
			i, j = i+1, j+1
		case j == len(mb) || i < len(ma) && length[i+1][j] >= length[i][j+1]:
			change("-", ma[i], head+i)
			i++
		default:
			change("+", mb[j], head+i)
			j++
		}
	}
	if tail > 0 && !shared {
		out = append(out, " "+as[len(as)-tail])
	}
	if len(out) > maxShownLines {
		out = append(out[:maxShownLines], fmt.Sprintf("and %d lines more", len(out)-maxShownLines))
	}
	return out
}

func splitLines(b []byte) []string {
	lines := strings.SplitAfter(string(b), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	} else {
		lines[len(lines)-1] += " (no end of line)"
	}
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\n")
	}
	return lines
}
