package commands

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

// sources are the tokens that a command reads, as its arguments name them.
type sources struct {
	operands []operand
	sel      selection     // what is excluded
	cfg      backends.Host // nil: operands are paths
	withCfg  bool          // the configuration's own files too
}

// tokensOf reads operands, --exclude, -X and --config.
func (s *session) tokensOf(c *cli.Context) (o sources, err error) {
	if o.cfg, err = s.configuration(c, false); err != nil {
		return o, err
	}
	if o.operands, err = s.expand(s.operands, c.Bool("null")); err != nil {
		return o, err
	}
	if len(o.operands) == 0 && (o.cfg == nil || len(s.operands) > 0) {
		return o, usagef(s.name, "no token is named; give the directory of one, or one with tokens below it")
	}
	o.sel.excluded, err = exclusions(s, c)
	return o, err
}

// findTokens resolves operands to tokens, in their order. An operand without
// one is a finding; nothing at all is an error. done is what is to be done with
// them, in a word.
func findTokens(ctx context.Context, s *session, o sources, done string) ([]stages.Input, error) {
	f := &tokenFinder{s: s, sel: o.sel, done: done, byName: map[string]string{}, byPath: map[string]bool{}}
	if err := f.all(ctx, o); err != nil {
		return nil, err
	}
	switch {
	case len(f.inputs) == 0 && o.cfg != nil:
		return nil, failedf("--base DIR says where they are", "there is no token to be %s: the slots' tokens were looked for below %s", done, quote(o.cfg.Base()))
	case len(f.inputs) == 0:
		return nil, failedf("", "there is no token to be %s", done)
	}
	s.showProgress(s.listed(ctx, f.inputs, o.sel))
	return f.inputs, nil
}

func (f *tokenFinder) all(ctx context.Context, o sources) error {
	if o.cfg != nil {
		err := f.configured(ctx, o.cfg, o.operands)
		if err == nil && o.withCfg && len(f.inputs) > 0 {
			err = f.add(stages.Input{Backend: o.cfg, Location: o.cfg.Files()})
		}
		return err
	}
	for _, operand := range o.operands {
		if err := f.operand(ctx, operand); err != nil {
			return err
		}
	}
	return nil
}

type tokenFinder struct {
	s      *session
	sel    selection
	done   string
	inputs []stages.Input
	byName map[string]string // the path of each name
	byPath map[string]bool
	aside  string // why the operand itself is passed over

	doubted bool // of the last operand it was told why a token there cannot be seen
}

func (f *tokenFinder) operand(ctx context.Context, o operand) error {
	name, path, err := splitName(f.s, o)
	if err != nil {
		return err
	}
	f.aside = ""
	f.doubted = false
	found, err := f.find(ctx, path)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		f.s.report.plain("no-token", path, "it cannot be read: "+err.Error())
		return nil
	}
	switch {
	case len(found) == 0 && isArchive(path):
		f.s.report.plain("no-token", path, "an archive, which list, verify and diff read with -f")
	case len(found) == 0 && f.aside != "":
		f.s.report.plain("no-token", path, "passed over by its name: "+f.aside+"; copy it to another name to look at it")
	case len(found) == 0 && f.doubted:
	case len(found) == 0:
		f.s.report.plain("no-token", path, "no token is there, nor right below; name a token, or the directory that holds it")
	case name != nil && len(found) > 1:
		return usagef(f.s.name, "%s holds %s; NAME=PATH takes the path of one", quote(path), count(uint64(len(found)), "token"))
	}
	for _, in := range found {
		if name != nil {
			in.Name = name
		}
		if err := f.add(in); err != nil {
			return err
		}
	}
	return nil
}

// splitName reads NAME=PATH. A path that is there is a path, whatever is in
// it.
func splitName(s *session, o operand) (format.Name, string, error) {
	whole := joinDir(o.dir, o.text)
	name, path, named := strings.Cut(o.text, "=")
	if !named {
		return nil, whole, nil
	}
	if _, err := os.Lstat(whole); err == nil {
		return nil, whole, nil
	}
	n, err := format.ParseName(name)
	if err != nil || path == "" {
		return nil, "", usagef(s.name, "%s is neither a path nor NAME=PATH", quote(o.text))
	}
	return n, joinDir(o.dir, path), nil
}

// find asks every kind of token. What was passed over is worth a word with -v.
func (f *tokenFinder) find(ctx context.Context, path string) (inputs []stages.Input, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, causeOf(err)
	}
	for _, b := range all.Backends() {
		found, ferr := b.Find(ctx, path)
		if ferr != nil {
			err = ferr
		}
		for _, loc := range found.Tokens {
			inputs = append(inputs, stages.Input{Backend: b, Location: loc})
		}
		for _, p := range found.Passed {
			if info, err := os.Stat(p.Path); err == nil && info.IsDir() && !p.Hidden && filepath.Clean(p.Path) == filepath.Clean(path) {
				f.aside = p.Reason
			}
		}
		f.doubted = f.passed(found, false) || f.doubted
	}
	if len(inputs) > 0 {
		err = nil
	}
	return inputs, err
}

// passed tells of places that are no tokens. Where one was named it is a finding;
// told says whether there was any.
func (f *tokenFinder) passed(found backends.Found, named bool) (told bool) {
	for _, p := range found.Passed {
		switch {
		case f.sel.excludes(filepath.Base(p.Path), ""):
		case p.NoSlot:
			f.s.report.tell(notice{
				Finding: format.Finding{Kind: "no-slot", Offset: -1, Message: p.Reason + "; not " + f.done},
				token:   p.Path, advice: advice{text: "name it in the tokname of its slot, or add a slot for it; --exclude leaves it out; its path without --config takes it"},
			})
		case p.Hidden || named:
			f.s.report.plain("no-token", p.Path, p.Reason+"; not "+f.done)
			told = true
		case p.Absent:
			f.s.report.note(p.Path, p.Reason)
		default:
			f.s.report.detail("%s: passed over: %s", quote(p.Path), escape(p.Reason))
		}
	}
	return told
}

func (f *tokenFinder) add(in stages.Input) error {
	name := in.Name.String()
	path := realPath(in.Path)
	switch other, again := f.byName[name]; {
	case f.sel.excludes(name, ""):
		f.s.report.detail("%s: excluded", quote(in.Path))
		return nil
	case f.byPath[path]:
		f.s.report.detail("%s: named twice, %s once", quote(in.Path), f.done)
		return nil
	case again:
		return usagef(f.s.name, "%s and %s are both called %s; tell them apart with NAME=PATH", quote(other), quote(in.Path), quote(name))
	}
	f.byName[name], f.byPath[path] = in.Path, true
	f.inputs = append(f.inputs, in)
	return nil
}

// causeOf is why a file could not be had, without its name.
func causeOf(err error) error {
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err
	}
	return err
}

// outside refuses an archive that would lie in a token it archives: it would
// hold a piece of itself.
func outside(s *session, file string, inputs []stages.Input) error {
	if _, numbered := descriptor(file); file == "" || file == "-" || numbered {
		return nil
	}
	dir := realPath(filepath.Dir(file)) + "/"
	for _, in := range inputs {
		if strings.HasPrefix(dir, realPath(in.Path)+"/") {
			return usagef(s.name, "%s would lie in the token %s; write it elsewhere", quote(file), quote(in.Name.String()))
		}
	}
	return nil
}

// realPath is a path without symlinks, from the root.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return path
}
