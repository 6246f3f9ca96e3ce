package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// section is a table, or a list, with the name of its place in the document.
type section struct{ name, text string }

// jobTable has a line for each side of each contest.
func jobTable(list []result) string {
	var t strings.Builder
	t.WriteString("| job | by | wall | of the yardstick (min to max) | CPU | of the yardstick (min to max) | peak memory |\n|---|---|---:|---:|---:|---:|---:|\n")
	for _, r := range list {
		name := r.name
		for i, s := range r.sides {
			if len(r.costs[i]) == 0 {
				continue
			}
			c := medianCost(r.costs[i])
			fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s | %.1f MiB |\n", name, s.who,
				seconds(c.wall.Seconds()), ratio(r, r.wall, i), seconds(c.cpu.Seconds()), ratio(r, r.cpu, i), mebibytes(c.peak))
			name = ""
		}
	}
	return t.String()
}

// ratio is the median and both ends; the yardstick has none.
func ratio(r result, all [][]float64, i int) string {
	if i == 0 {
		return ""
	}
	sorted := all[i]
	text := fmt.Sprintf("%.2f (%.2f to %.2f)", middle(sorted), sorted[0], sorted[len(sorted)-1])
	if r.sides[i].who == tokar {
		text = "**" + strings.Replace(text, " ", "** ", 1)
	}
	return text
}

func middle(sorted []float64) float64 { return sorted[len(sorted)/2] }

// seconds has three digits that mean something.
func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.1f ms", s*1e3)
	}
	return fmt.Sprintf("%.2f s", s)
}

// made is what a side's create left behind.
type made struct {
	who  string
	size int64
}

func (b *bench) sizes() (all []made, err error) {
	for _, m := range []struct{ who, path string }{
		{yardstick, "yardstick.age"}, {tokar, "archive.tokar"}, {"restic", b.last("restic")}, {"borg", b.last("borg")},
	} {
		if _, err := os.Stat(b.at(m.path)); os.IsNotExist(err) {
			continue // a peer that is not here
		}
		_, size, err := treeSize(b.at(m.path))
		if err != nil {
			return nil, err
		}
		all = append(all, made{m.who, size})
	}
	return all, nil
}

func sizeTable(all []made) string {
	var t strings.Builder
	t.WriteString("| archive or repository by | size | of the yardstick |\n|---|---:|---:|\n")
	for _, m := range all {
		fmt.Fprintf(&t, "| %s | %.2f MB | %.3f |\n", m.who, megabytes(m.size), float64(m.size)/float64(all[0].size))
	}
	return t.String()
}

func megabytes(bytes int64) float64     { return float64(bytes) / 1e6 }
func mebibytes(kibibytes int64) float64 { return float64(kibibytes) / 1024 }

// put replaces what stands between the sections' markers in a document.
func put(path string, all []section) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(b)
	for _, s := range all {
		if text, err = s.put(text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	temporary := filepath.Join(filepath.Dir(path), ".bench-"+filepath.Base(path))
	if err := os.WriteFile(temporary, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func (s section) put(text string) (string, error) {
	begin, end := "<!-- bench: "+s.name+" -->\n", "<!-- end of "+s.name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("no place for %q: it is between the lines %q and %q", s.name, strings.TrimSpace(begin), end)
	}
	return before + begin + "\n" + strings.TrimSpace(s.text) + "\n\n" + end + after, nil
}
