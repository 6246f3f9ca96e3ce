package commands

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/format"
	"tokar/stages"
)

func checkCommand() *command {
	return &command{
		name:     "check",
		summary:  "look at tokens where they stand, and say what is wrong",
		synopsis: "[flags] PATH…",
		examples: `tokar check /var/lib/opencryptoki
tokar check -v --pin file:user.pin /var/lib/opencryptoki/swtok
tokar check --pin swtok=file:user.pin --so-pin swtok=file:so.pin /var/lib/opencryptoki
tokar check --config /etc/opencryptoki/opencryptoki.conf
tokar check --json /var/lib/opencryptoki | jq 'select(.type == "finding")'`,
		text: `PATH is a token's directory, or one that holds tokens, as for create. Every
file is read and every object validated as when it is archived; nothing is
written, and no key or PIN is needed. Of private objects only length and header
are checked then. With the user PIN or the SO PIN they are decrypted, and their
keys checked; tokar reads files and never logs in, so no try of a PIN is counted.
What is wrong is named, with what to do about it, and makes the exit code 1; a
wrong PIN makes it 6. A token that programs keep locked for ten seconds is named
and left out, and makes it 5: try again, or take --no-lock. What is sound and dangerous all the same is a note. -v
names every entry, and what stands beside tokens, such as the old copy that a
restore kept.

With --config the operands are slot numbers, names or labels of tokens; none
means every slot's token that is there. A token that does not fit its slot, in
type, format (tokversion) or group, is a finding.`,
		flags: join([]cli.Flag{
			directoryFlag("the operands that follow are in `DIR`"),
		}, configFlags("operands name its slots or tokens"), pinFlags(), selectionFlags(), readingFlags(), []cli.Flag{jobsFlag(), progressFlag()}, reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := checkOptionsOf(s, c)
			if err != nil {
				return err
			}
			defer o.pins.forget()
			return check(s.ctx, s, o)
		},
	}
}

type checkOptions struct {
	sources
	pins    *pins
	reading backends.Reading
	jobs    int
}

func checkOptionsOf(s *session, c *cli.Context) (o checkOptions, err error) {
	if o.jobs, err = jobs(s, c); err != nil {
		return o, err
	}
	if o.sources, err = s.tokensOf(c); err != nil {
		return o, err
	}
	if o.reading, err = readingOf(s, c); err != nil {
		return o, err
	}
	o.pins, err = pinsOf(s, c)
	return o, err
}

// check validates tokens and writes nothing.
func check(ctx context.Context, s *session, o checkOptions) error {
	inputs, err := findTokens(ctx, s, o.sources, "checked")
	if err != nil {
		return err
	}
	if err = o.pins.check(namesOf(inputs)); err == nil {
		err = o.pins.ready()
	}
	if err != nil {
		return left(err, "nothing was checked")
	}
	if err := s.readAs(inputs, o.reading); err != nil {
		return err
	}
	if _, err := o.pins.try(ctx, inputs); err != nil {
		return left(err, "nothing was checked")
	}
	k := &checking{session: s, cfg: o.cfg, cautions: cautions{s, o.cfg != nil, map[*format.Token]*cautioned{}}, pins: o.pins, inputs: map[string]stages.Input{}}
	for _, in := range inputs {
		k.inputs[in.Name.String()] = in
	}
	sum, err := stages.Check(ctx, inputs, stages.CheckOptions{
		Workers: o.jobs,
		Skip: func(t *format.Token, e *backends.Entry) bool {
			return o.sel.excludes(t.Name.String(), e.Name.String())
		},
		Each:    s.counted(k.each),
		Problem: s.unopened,
		Unlock:  o.pins.unlock(k.unlocked),
	})
	s.note(sum)
	s.summary.Generation, s.summary.Restores = nil, nil // there is no archive
	if err == nil && sum.Tokens == 0 {
		err = s.noneOpened()
	}
	if err != nil {
		return left(err, "not everything was checked")
	}
	for _, name := range sum.Unstable {
		s.report.plain("unstable", name, "it changed while it was read; check it again when it is quiet")
	}
	verdict := ": sound"
	if k.privates.closed > 0 {
		verdict += fmt.Sprintf(" (%s: length and header only)", count(k.privates.closed, "private object"))
	}
	if k.privates.opened > 0 {
		verdict += k.privates.words()
	}
	if s.report.findings > 0 {
		verdict = s.report.withFindings()
		if o.pins.given() {
			verdict = k.privates.words() + verdict
		}
	}
	s.report.result("%s, %s, %s%s", count(sum.Tokens, "token"), count(sum.Objects, "object"), size(sum.Bytes), verdict)
	return nil
}

// checking is one run of check.
type checking struct {
	*session
	cfg      backends.Host
	cautions cautions
	pins     *pins
	inputs   map[string]stages.Input // by the token's name
	privates privates
}

func (k *checking) each(t *format.Token, r *format.Record) {
	if r.Kind == format.KindEndOfToken {
		k.cautions.end(t)
		return
	}
	k.entry(t, r)
	if r.Kind == format.KindToken {
		k.misfits(k.cfg, t)
	}
	k.cautions.entry(k.inputs[t.Name.String()].Backend, t, r)
	k.privates.count(r)
	for _, f := range r.Details.Findings {
		entry, _ := about(r, f)
		k.report.tell(notice{
			Finding: f, token: t.Name.String(), entry: entry,
			advice: k.advice(t, r, f),
		})
	}
}

// unlocked tells what a token's PINs showed.
func (k *checking) unlocked(t *format.Token, found []format.Finding, err error) {
	k.session.unlocked(t, found, err, func(f format.Finding) advice {
		entry, kind := entryOf(f)
		class := uint32(format.ClassNone)
		if kind == format.KindObject {
			class = 0 // it opened: what is wrong is inside
		}
		return k.advice(t, &format.Record{Kind: kind, Class: class, Name: format.NameOf(strings.Split(entry, "/")...)}, f)
	})
}

// advice is the backend's, on what is to be put back.
func (k *checking) advice(t *format.Token, r *format.Record, f format.Finding) advice {
	in := k.inputs[t.Name.String()]
	entry, kind := about(r, f)
	pins := k.pins.again(t.Name.String())
	to := restoreTo(in.Path, in.Name).of(t.Name.String(), entry, kind)
	if inside := f.Offset < 0 && r.Class != format.ClassNone; !inside { // repair looks at what decrypts no further
		to = to.mending(t.Name.String(), kind, pins)
	}
	about := backends.Subject{Token: t, Kind: kind, Name: entry, Private: r.Flags&format.Private != 0}
	return adviceOf(in.Backend, f.Kind, about, to, pins)
}
