package commands

import (
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

// intoOptions are those of extract --into.
type intoOptions struct {
	name format.Name // of the token that takes the objects
	pins *pins
}

// intoOf reads the flags; nil without --into.
func intoOf(s *session, c *cli.Context) (*intoOptions, error) {
	if c.String("into") == "" {
		for _, flag := range []string{"into-pin", "into-so-pin", "pin", "so-pin"} {
			if c.IsSet(flag) {
				return nil, usagef(s.name, "--%s is for --into", flag)
			}
		}
		return nil, nil
	}
	for _, flag := range []string{"as", "damaged", "overwrite", "keep-existing", "no-keep", "keep-pins", "roll-back-pins", "replace-token", "configuration"} {
		if c.IsSet(flag) {
			return nil, usagef(s.name, "--into and --%s exclude each other", flag)
		}
	}
	name, err := format.ParseName(c.String("into"))
	if err != nil {
		return nil, usagef(s.name, "--into %s is no token's name; -C says in which directory it is", quote(c.String("into")))
	}
	p, err := pinsOf(s, c)
	if err != nil {
		return nil, err
	}
	for _, flag := range []string{"into-so-pin", "into-pin"} {
		text := c.String(flag)
		if text == "" {
			continue
		}
		source, err := s.parseSource(flag, text)
		if err != nil {
			return nil, err
		}
		if err := p.add(&pinSource{flag: flag, source: source}); err != nil {
			return nil, err
		}
	}
	p.call(name.String(), s.operands)
	return &intoOptions{name, p}, nil
}

func runInto(s *session, c *cli.Context, into *intoOptions, err error) error {
	if err != nil {
		return err
	}
	defer into.pins.forget()
	o, err := extractOptionsOf(s, c)
	if err != nil {
		return err
	}
	defer o.forget()
	o.into, o.as, o.existing.Into = into, into.name, true
	if err := extract(s.ctx, s, o); err != nil {
		return err
	}
	into.pins.unused()
	return nil
}

// call names the tokens in prompts: the archive's, where one operand means it,
// and the one that takes the objects.
func (p *pins) call(into string, operands []operand) {
	for _, o := range p.from {
		switch {
		case strings.HasPrefix(o.flag, "into-"):
			o.whose = quote(into) + ", which takes the objects"
		case o.token != "":
			o.whose = "the archive's " + quote(o.token)
		case len(operands) == 1 && !operands[0].list:
			name, _, _ := strings.Cut(operands[0].text, "/")
			o.whose = "the archive's " + quote(name)
		default:
			o.whose = "the archive's token"
		}
	}
}

// target are the PINs of the token that takes the objects.
func (p *pins) target() (l backends.Logins, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.SO, err = p.read("into-so-pin", ""); err == nil {
		l.User, err = p.read("into-pin", "")
	}
	if err != nil {
		l.Clear()
	}
	return l, err
}

// optionsInto are options where objects go into a token of another master key.
func (x *extraction) optionsInto(open stages.OpenOptions) stages.ExtractOptions {
	kept := func(l backends.Logins, err error) (backends.Logins, error) {
		x.mu.Lock()
		x.logins = append(x.logins, l)
		x.mu.Unlock()
		return l, err
	}
	return stages.ExtractOptions{
		OpenOptions: open,
		Backend:     all.ByKind,
		Place: func(t *format.Token) stages.Place {
			if isConfiguration(t) {
				return stages.Place{}
			}
			_, wanted := x.o.sel.token(t)
			return stages.Place{Dir: x.place(t), Name: x.o.as, Wanted: wanted}
		},
		Select: func(t *format.Token, r *format.Record) bool {
			if r.Kind == format.KindState || r.Kind == format.KindIndex {
				return true // it opens the objects, and knows their names
			}
			wanted := r.Kind == format.KindObject && x.o.sel.entry(t, r)
			if wanted {
				x.rename(t)
			}
			return wanted
		},
		Existing: x.o.existing,
		Left:     x.left,
		Finding:  x.found,
		Logins:   func(*format.Token) (backends.Logins, error) { return kept(x.o.into.pins.target()) },
		From:     func(t *format.Token) (backends.Logins, error) { return kept(x.o.into.pins.of(t.Name.String())) },
		There:    x.there,
		Note:     func(t *format.Token, message string) { x.report.note(x.nameOf(t), message) },
		Committed: func(t *format.Token, dir string) {
			x.report.changed = true
			x.commit(t)
		},
	}
}
