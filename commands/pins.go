package commands

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/format"
)

// pinFlags are those of commands that use tokens' PINs.
func pinFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "pin", Usage: "the user PIN is taken from `[TOKEN=]SOURCE`: prompt, file:PATH, fd:N or env:NAME; without TOKEN= for all tokens"},
		&cli.StringSliceFlag{Name: "so-pin", Usage: "the SO PIN, from `[TOKEN=]SOURCE`"},
	}
}

// pins is where a run takes PINs from. Safe from many goroutines.
type pins struct {
	s    *session
	mu   sync.Mutex
	from []*pinSource
}

// A pinSource is what one flag says.
type pinSource struct {
	flag   string // pin or so-pin
	token  string // empty: of all that have no flag of their own
	source secretSource
	whose  string // in prompts, where it is more than the token
	pin    []byte // once it was read
	used   bool

	refused []string // tokens that it is not the PIN of
}

// roleNames are what the PINs of the flags are called.
var roleNames = map[string]string{"pin": "user PIN", "so-pin": "SO PIN",
	"into-pin": "user PIN", "into-so-pin": "SO PIN"}

// pinsOf reads the flags. The PINs themselves are read when they are needed.
func pinsOf(s *session, c *cli.Context) (*pins, error) {
	p := &pins{s: s}
	for _, flag := range []string{"so-pin", "pin"} {
		for _, text := range c.StringSlice(flag) {
			token, source := splitPIN(text)
			if source == "" {
				return nil, usagef(s.name, "--%s takes [TOKEN=]SOURCE, where SOURCE is prompt, file:PATH, fd:N or env:NAME, never the PIN itself", flag)
			}
			src, err := s.parseSource(flag, source)
			if err != nil {
				return nil, err
			}
			if err := p.add(&pinSource{flag: flag, token: token, source: src}); err != nil {
				return nil, err
			}
		}
	}
	for _, flag := range []string{"passphrase", "new-passphrase"} {
		if text := c.String(flag); strings.HasPrefix(text, "fd:") && p.takes(secretSource(text)) {
			return nil, usagef(s.name, "--%s and a PIN cannot both come from %s", flag, quote(text))
		}
	}
	return p, nil
}

// splitPIN takes [TOKEN=]SOURCE apart; the source is empty if there is none.
func splitPIN(text string) (token, source string) {
	for rest := text; ; {
		if isSource(rest) {
			return strings.TrimSuffix(strings.TrimSuffix(text, rest), "="), rest
		}
		_, after, more := strings.Cut(rest, "=")
		if !more {
			return "", ""
		}
		rest = after
	}
}

func isSource(text string) bool {
	kind, value, _ := strings.Cut(text, ":")
	return text == string(fromPrompt) || value != "" && (kind == "file" || kind == "fd" || kind == "env")
}

func (p *pins) add(n *pinSource) error {
	for _, o := range p.from {
		switch {
		case o.flag == n.flag && o.token == n.token && n.token == "":
			return usagef(p.s.name, "--%s is given twice for all tokens; write --%s TOKEN=SOURCE", n.flag, n.flag)
		case o.flag == n.flag && o.token == n.token:
			return usagef(p.s.name, "--%s is given twice for %s", n.flag, quote(n.token))
		}
	}
	if strings.HasPrefix(string(n.source), "fd:") && p.takes(n.source) {
		return usagef(p.s.name, "two PINs cannot both come from %s", quote(string(n.source)))
	}
	p.from = append(p.from, n)
	return nil
}

func (p *pins) takes(src secretSource) bool {
	return slices.ContainsFunc(p.from, func(o *pinSource) bool { return o.source == src })
}

// given says whether there is any PIN flag.
func (p *pins) given() bool { return len(p.from) > 0 }

// of gives the PINs of a token, by its name as listings show it. What is asked
// for is asked for once. The caller clears them.
func (p *pins) of(token string) (l backends.Logins, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.SO, err = p.read("so-pin", token); err == nil {
		l.User, err = p.read("pin", token)
	}
	if err != nil {
		l.Clear()
	}
	return l, err
}

// loginsOf is of for PINs that are ready.
func (p *pins) loginsOf(t *format.Token) backends.Logins {
	l, _ := p.of(t.Name.String())
	return l
}

// source is the flag that counts for a token; nil without one.
func (p *pins) source(flag, token string) (from *pinSource) {
	for _, o := range p.from {
		if o.flag == flag && (o.token == token || o.token == "" && from == nil) {
			from = o
		}
	}
	return from
}

// refuse notes that a token has another PIN than the one given.
func (p *pins) refuse(token string, so bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	flag := "pin"
	if so {
		flag = "so-pin"
	}
	if o := p.source(flag, token); o != nil {
		o.refused = append(o.refused, token)
	}
}

// read gives a copy of a role's PIN, or nil. A flag for the token goes before
// one for all.
func (p *pins) read(flag, token string) ([]byte, error) {
	from := p.source(flag, token)
	if from == nil {
		return nil, nil
	}
	from.used = true
	if err := from.read(p.s); err != nil {
		return nil, err
	}
	return bytes.Clone(from.pin), nil
}

// read reads the PIN, once.
func (o *pinSource) read(s *session) (err error) {
	if o.pin != nil {
		return nil
	}
	what := "the " + roleNames[o.flag]
	if o.whose != "" {
		what += " of " + o.whose
	} else if o.token != "" {
		what += " of " + quote(o.token)
	}
	if o.pin, err = o.source.readAs(s, what, what, false); err != nil {
		return otherwise(err, o.flag)
	}
	if bytes.ContainsRune(o.pin, '\n') {
		clear(o.pin)
		o.pin = nil
		return usagef(s.name, "what is given for %s has more than one line; a PIN is one", what)
	}
	return nil
}

// otherwise says where a PIN can be taken from without a terminal.
func otherwise(err error, flag string) error {
	if f := (*failure)(nil); errors.As(err, &f) && f.todo != "" {
		f.todo = "give it with --" + flag + " file:PATH, fd:N or env:NAME"
	}
	return err
}

// check refuses a PIN for a token that is not among these.
func (p *pins) check(names []string) error {
	for _, o := range p.from {
		if o.token != "" && !slices.Contains(names, o.token) {
			return usagef(p.s.name, "--%s is for the token %s, which is not among those chosen: %s", o.flag, quote(o.token), someNames(names))
		}
	}
	return nil
}

// ready reads all PINs, so that nobody is asked in the middle of the work.
func (p *pins) ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.from {
		if err := o.read(p.s); err != nil {
			return err
		}
	}
	return nil
}

// unused names PINs for tokens that did not come, where which would come was
// not known before.
func (p *pins) unused() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.from {
		if o.token != "" && !o.used {
			p.s.report.plain("no-token", o.token, "--"+o.flag+" is for it, and it is not among those chosen")
		}
	}
}

// again are the flags that give a token's PINs again, as a shell takes them: what
// came from elsewhere than a file is asked for. PINs that were refused are not
// among them.
func (p *pins) again(token string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var words []string
	for _, o := range p.from {
		if p.source(o.flag, token) != o || slices.Contains(o.refused, token) {
			continue
		}
		source := string(o.source)
		if !strings.HasPrefix(source, "file:") {
			source = string(fromPrompt)
		}
		if o.token != "" {
			source = o.token + "=" + source
		}
		words = append(words, "--"+o.flag, shellWord(source))
	}
	return strings.Join(words, " ")
}

// forget zeroes the PINs.
func (p *pins) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.from {
		clear(o.pin)
		o.pin = nil
	}
}
