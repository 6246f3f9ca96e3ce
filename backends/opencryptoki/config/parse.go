package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Parse reads a configuration. What pkcsslotd refuses is refused, with an *Error;
// what it passes over, such as characters that mean nothing to it, is kept.
func Parse(data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%d bytes; a configuration has at most %d", len(data), MaxSize)
	}
	p := &parser{lexer: lexer{data: data, line: 1}, file: &File{data: data}}
	p.advance()
	if err := p.configuration(); err != nil {
		return nil, err
	}
	return p.file, nil
}

type parser struct {
	lexer
	token // the one looked at
	file  *File
}

// advance goes to the next token that means something.
func (p *parser) advance() {
	for p.token = p.next(); p.kind == blank; {
		p.token = p.next()
	}
}

// lines passes over ends of lines.
func (p *parser) lines() {
	for p.kind == newline {
		p.advance()
	}
}

func (p *parser) failf(format string, args ...any) error {
	return &Error{Line: p.token.line, Message: fmt.Sprintf(format, args...)}
}

// got is the token looked at, in words.
func (p *parser) got() string {
	switch p.kind {
	case end:
		return "the end of the file"
	case newline:
		return "the end of the line"
	}
	return shown(string(p.data[p.from:p.to]))
}

func shown(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strconv.QuoteToASCII(s)
}

func (p *parser) text() string { return string(p.data[p.from:p.to]) }

// take takes a token of a kind, or says that it wanted one.
func (p *parser) take(k kind, wanted string) (string, error) {
	if p.kind != k {
		return "", p.failf("expected %s, not %s", wanted, p.got())
	}
	text := p.text()
	p.advance()
	return text, nil
}

// configuration reads the whole file.
func (p *parser) configuration() error {
	p.lines()
	if p.kind == first {
		p.advance()
		if _, err := p.take(word, `a word such as opencryptoki-3.27 after "version"`); err != nil {
			return err
		}
	}
	for {
		p.lines()
		if p.kind == end {
			return nil
		}
		if err := p.element(); err != nil {
			return err
		}
	}
}

// element reads one of what a file may have outside of slots.
func (p *parser) element() error {
	at := p.token
	name := ""
	if p.kind == word {
		name = p.text()
	}
	switch name {
	case "slot":
		p.advance()
		return p.slot(at.line)
	case "statistics":
		p.advance()
		return p.statistics()
	case "disable-event-support":
		p.advance()
		return p.alone(name)
	}
	return p.failf(`expected "slot", "statistics" or "disable-event-support", not %s`, p.got())
}

// alone refuses what would make more of a word that stands alone: a value, a list
// or a block.
func (p *parser) alone(name string) error {
	p.lines()
	switch p.kind {
	case '=', '(', '{', number:
		return p.failf("%s stands alone; nothing belongs to it, and here is %s", name, p.got())
	}
	return nil
}

func (p *parser) statistics() error {
	p.lines()
	if _, err := p.take('(', `"(" after "statistics"`); err != nil {
		return err
	}
	p.lines()
	for more := p.kind != ')'; more; {
		at := p.token
		name, err := p.take(word, `"off", "on", "implicit" or "internal"`)
		if err != nil {
			return err
		}
		switch name {
		case "off", "on", "implicit", "internal":
		default:
			return &Error{Line: at.line, Message: fmt.Sprintf(`expected "off", "on", "implicit" or "internal", not %s`, shown(name))}
		}
		if more = p.kind == ','; more {
			p.advance()
		}
		p.lines()
	}
	_, err := p.take(')', `"," or ")" in the list of "statistics"`)
	return err
}

// slot reads NUMBER { KEY = VALUE … }. A slot that had no stdll yet is gone on with,
// as pkcsslotd does.
func (p *parser) slot(line int) error {
	at := p.token
	digits, err := p.take(number, `a number after "slot"`)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(digits, 0, 64)
	if err != nil || n >= slotNumbers {
		return &Error{Line: at.line, Message: fmt.Sprintf("slot %s: the number is below %d", shown(digits), slotNumbers)}
	}
	s := p.file.Slot(int(n))
	if s != nil && s.Present() {
		return &Error{Line: line, Message: fmt.Sprintf("slot %d is there twice; the first is in line %d", n, s.Line)}
	}
	if s == nil {
		p.file.Slots = append(p.file.Slots, Slot{Number: int(n), Line: line})
		s = &p.file.Slots[len(p.file.Slots)-1]
	}
	p.lines()
	if p.kind != '{' {
		return p.failf(`slot %d: expected "{", not %s`, n, p.got())
	}
	s.open, s.last = p.to, element{}
	p.advance()
	for {
		p.lines()
		if p.kind == '}' {
			s.close = p.from
			p.advance()
			return nil
		}
		if err := p.setting(s); err != nil {
			return err
		}
	}
}

// setting reads KEY = VALUE of a slot.
func (p *parser) setting(s *Slot) error {
	fail := func(line int, format string, args ...any) error {
		return &Error{Line: line, Message: fmt.Sprintf("slot %d: ", s.Number) + fmt.Sprintf(format, args...)}
	}
	key := p.token
	if p.kind != word {
		return fail(p.token.line, `expected KEY = VALUE or "}", not %s`, p.got())
	}
	name := p.text()
	set, known := settings[name]
	if !known {
		return fail(p.token.line, "a slot has no %s; it has %s", shown(name), keys)
	}
	if p.advance(); p.kind != '=' {
		return fail(p.token.line, `expected "=" after %s, not %s`, name, p.got())
	}
	p.advance()
	value := p.token
	if p.kind != word && p.kind != text && p.kind != version && p.kind != number {
		return fail(p.token.line, "expected the value of %s on the line of its =, not %s", name, p.got())
	}
	content := p.text()
	if p.kind == text {
		if content = content[1:]; !strings.HasSuffix(content, `"`) {
			return fail(value.line, `the value of %s begins with " and does not end`, name)
		}
		content = strings.TrimSuffix(content, `"`)
	}
	if wrong := set(s, value.kind, content); wrong != "" {
		return fail(value.line, "%s = %s: %s", name, shown(p.text()), wrong)
	}
	s.last = element{key: key.from, value: value.from, end: value.to}
	if name == "tokversion" {
		s.tokversions = append(s.tokversions, s.last)
	}
	p.advance()
	return nil
}
