package opencryptoki

import (
	"bytes"
	"maps"
	"slices"
)

// mergeIndex adds names of the archived index that are wanted and not listed in
// today's: each after the one that precedes it in the archive, as far as that
// is listed, else before the one that follows. Every line of today's stays.
func mergeIndex(today, archived []byte, wanted func(name []byte) bool) []byte {
	listed := linesOf(today)
	insert := map[int][]byte{} // by offset in today's
	var first []byte           // before any that is listed
	at := -1
	for line := range bytes.Lines(archived) {
		name := line[:objectNameLen]
		if there, ok := listed[string(name)]; ok {
			if at < 0 {
				insert[there.start] = first
			}
			at = there.end
			continue
		}
		switch {
		case !wanted(name):
		case at < 0:
			first = append(first, line...)
		default:
			insert[at] = append(insert[at], line...)
		}
	}
	if at < 0 {
		insert[len(today)] = first
	}
	return spliced(today, insert)
}

// span is where a line is, its LF with it.
type span struct{ start, end int }

func linesOf(index []byte) map[string]span {
	lines := map[string]span{}
	var ignored findings
	indexLines(index, &ignored, func(line []byte, offset int) {
		if !isObjectName(line) {
			return
		}
		end := len(index)
		if n := bytes.IndexByte(index[offset:], '\n'); n >= 0 {
			end = offset + n + 1
		}
		lines[string(line)] = span{offset, end}
	})
	return lines
}

// spliced puts lines at their offsets. A last line without LF gets one: else
// the name that follows would be lost with it.
func spliced(index []byte, insert map[int][]byte) []byte {
	var b []byte
	from := 0
	for _, at := range slices.Sorted(maps.Keys(insert)) {
		if len(insert[at]) == 0 {
			continue
		}
		b = append(b, index[from:at]...)
		if len(b) > 0 && b[len(b)-1] != '\n' {
			b = append(b, '\n')
		}
		b = append(b, insert[at]...)
		from = at
	}
	return append(b, index[from:]...)
}
