package commands

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/format"
)

// joinDir is the directory of a -C, relative to the -C before it.
func joinDir(before, dir string) string {
	if before == "" || filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(before, dir)
}

// maxList bounds a file of names or patterns.
const maxList = 64 << 20

// expand replaces each -T FILE by the names in it.
func (s *session) expand(operands []operand, null bool) ([]operand, error) {
	var all []operand
	for _, o := range operands {
		if !o.list {
			all = append(all, o)
			continue
		}
		names, err := s.names(o.text, "the list of names", null)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			all = append(all, operand{dir: o.dir, text: n})
		}
	}
	return all, nil
}

// names reads one name a line, or with null one a zero byte.
func (s *session) names(path, what string, null bool) ([]string, error) {
	f, err := s.open(path, what)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	end := byte('\n')
	if null {
		end = 0
	}
	limit := &io.LimitedReader{R: s.patient(f), N: maxList}
	in := bufio.NewReader(limit)
	var names []string
	for {
		b, err := in.ReadBytes(end)
		if b = bytes.TrimSuffix(b, []byte{end}); len(b) > 0 {
			names = append(names, string(b))
		}
		if err == io.EOF && limit.N == 0 {
			return nil, fmt.Errorf("%s: more than 64 MiB of names", quote(path))
		}
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// A selection is what of an archive, or of tokens, is meant: patterns as in
// tar. None means everything. It is safe for several goroutines.
type selection struct {
	wanted   []*pattern
	excluded []string
	met      *sync.Map // names of tokens of which an entry was wanted
}

type pattern struct {
	operand
	hit atomic.Bool
}

// selectionOf reads operands, --exclude and -X.
func selectionOf(s *session, c *cli.Context) (*selection, error) {
	return configuredSelection(s, c, nil)
}

// configuredSelection is the same, of operands that may be a configuration's words.
func configuredSelection(s *session, c *cli.Context, cfg backends.Host) (*selection, error) {
	operands, err := s.expand(s.operands, c.Bool("null"))
	if err == nil {
		operands, err = named(s.ctx, s, cfg, operands)
	}
	if err != nil {
		return nil, err
	}
	if len(operands) == 0 && len(s.operands) > 0 {
		return nil, usagef(s.name, "the list of names is empty")
	}
	sel := &selection{met: &sync.Map{}}
	for _, o := range operands {
		o.text = trimPattern(o.text)
		sel.wanted = append(sel.wanted, &pattern{operand: o})
	}
	sel.excluded, err = exclusions(s, c)
	return sel, err
}

func exclusions(s *session, c *cli.Context) ([]string, error) {
	excluded := c.StringSlice("exclude")
	for _, file := range c.StringSlice("exclude-from") {
		patterns, err := s.names(file, "the list of exclusions", false)
		if err != nil {
			return nil, err
		}
		excluded = append(excluded, patterns...)
	}
	for i := range excluded {
		excluded[i] = trimPattern(excluded[i])
	}
	return excluded, nil
}

// trimPattern forgives what shells complete and people type: swtok/ and
// ./swtok.
func trimPattern(p string) string {
	if t := strings.TrimRight(strings.TrimPrefix(p, "./"), "/"); t != "" {
		return t
	}
	return p
}

// matches says whether a pattern means an entry: it matches TOKEN/ENTRY, what
// stands before a slash of that, or one part of it.
func matches(pattern, token, entry string) bool {
	full := token
	if entry != "" {
		full += "/" + entry
	}
	if match(pattern, full) || match(pattern, token) || entry != "" && match(pattern, entry) {
		return true
	}
	for i, c := range full {
		if c == '/' && match(pattern, full[:i]) {
			return true
		}
	}
	for part := range strings.SplitSeq(full, "/") {
		if match(pattern, part) {
			return true
		}
	}
	return false
}

// whole says whether a pattern means every entry of a token.
func (p *pattern) whole(token string) bool {
	base, all := strings.CutSuffix(p.text, "/*")
	return matches(p.text, token, "") || all && matches(base, token, "")
}

// dir is the directory for a token: that of the first pattern that can mean
// it. Patterns with another -C do not count for it.
func (s *selection) dir(token string) string {
	for _, p := range s.wanted {
		if p.whole(token) || p.within(token) {
			return p.dir
		}
	}
	if len(s.wanted) > 0 {
		return s.wanted[0].dir
	}
	return ""
}

// within says whether a pattern begins with a token's name and a slash.
func (p *pattern) within(token string) bool {
	n := strings.Count(token, "/") + 1
	parts := strings.SplitN(p.text, "/", n+1)
	return len(parts) > n && match(strings.Join(parts[:n], "/"), token)
}

// everything says that nothing was chosen and nothing left out.
func (s *selection) everything() bool { return len(s.wanted) == 0 && len(s.excluded) == 0 }

// token says whether a token is wanted whole, or perhaps some of it.
func (s *selection) token(t *format.Token) (whole, wanted bool) {
	name := t.Name.String()
	if s.excludes(name, "") {
		return false, false
	}
	if len(s.wanted) == 0 {
		return true, true
	}
	dir := s.dir(name)
	for _, p := range s.wanted {
		if p.dir == dir && p.whole(name) {
			p.hit.Store(true)
			whole = true
		}
	}
	return whole, true
}

// entry says whether an entry is wanted.
func (s *selection) entry(t *format.Token, r *format.Record) bool {
	if s.everything() {
		return true
	}
	token, entry := t.Name.String(), r.Name.String()
	if s.excludes(token, entry) {
		return false
	}
	wanted, dir := len(s.wanted) == 0, s.dir(token)
	for _, p := range s.wanted {
		if p.dir == dir && matches(p.text, token, entry) {
			p.hit.Store(true)
			wanted = true
		}
	}
	if wanted && s.met != nil {
		if _, known := s.met.Load(token); !known {
			s.met.Store(token, true)
		}
	}
	return wanted
}

// told is told of what PINs showed of tokens, as far as it was chosen. It is for
// runs that ask of every entry.
func (s *selection) told(told unlockedFunc) unlockedFunc {
	return func(t *format.Token, found []format.Finding, err error) {
		if _, met := s.met.Load(t.Name.String()); !met && !s.everything() {
			return
		}
		found = slices.DeleteFunc(slices.Clone(found), func(f format.Finding) bool {
			entry, kind := entryOf(f)
			return kind == format.KindObject && !s.entry(t, &format.Record{Kind: kind, Name: format.NameOf(entry)})
		})
		if len(found) > 0 || err != nil {
			told(t, found, err)
		}
	}
}

// unlockedFunc is told what PINs showed of a token as a whole.
type unlockedFunc func(t *format.Token, found []format.Finding, err error)

// record is entry for whatever comes in a list: a token's own record is wanted
// with any of its entries.
func (s *selection) record(t *format.Token, r *format.Record) bool {
	switch {
	case t == nil:
		return true
	case r.Kind.Descriptor():
		_, wanted := s.token(t)
		return wanted
	}
	return s.entry(t, r)
}

func (s *selection) excludes(token, entry string) bool {
	for _, p := range s.excluded {
		if matches(p, token, entry) {
			return true
		}
	}
	return false
}

// missed names the patterns that matched nothing. It is an error if none did,
// a finding for each if others did.
func (s *selection) missed(r *report) error {
	var missed []string
	for _, p := range s.wanted {
		if !p.hit.Load() {
			missed = append(missed, p.text)
		}
	}
	if len(missed) == 0 {
		return nil
	}
	if len(missed) == len(s.wanted) {
		todo := "tokar list shows what it holds"
		if _, err := os.Stat(missed[0]); err == nil && strings.Contains(missed[0], "/") {
			todo = "that is a path here: -C says where the tokens are, and tokar list how the archive names what it holds"
		}
		return failedf(todo, "not in this archive: %s", quoteAll(missed))
	}
	for _, m := range missed {
		r.plain("not-found", m, "not in this archive")
	}
	return nil
}
