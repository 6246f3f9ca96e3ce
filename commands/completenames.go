package commands

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tokar/backends/all"
	"tokar/format"
	"tokar/format/keyslot"
	"tokar/stages"
)

// tokens offers the tokens in the directory that is typed so far, or where
// there are none the directories in it.
func (c *completion) tokens() {
	if name, _, named := strings.Cut(c.typed[c.at:], "="); named {
		if _, err := format.ParseName(name); err == nil {
			c.at += len(name) + 1
		}
	}
	start := c.at
	dir := cmp.Or(joinDir(expandHome(c.given.dir), expandHome(c.upToSlash())), ".")
	for _, b := range all.Backends() {
		found, _ := b.Find(context.Background(), dir)
		for _, t := range found.Tokens {
			if below, err := filepath.Rel(dir, t.Path); err == nil && below != "." {
				c.operand(below, t.Kind)
			}
		}
	}
	switch {
	case len(c.words) > 0:
	case c.given.dir == "":
		c.how, c.at = "dirs", start
	default: // the shell's are elsewhere
		c.directories(dir)
	}
}

func (c *completion) directories(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") == strings.HasPrefix(c.typed[c.at:], ".") {
			c.operand(e.Name()+"/", "")
		}
	}
}

// upToSlash has candidates begin after the last slash that is typed, and
// returns what is before it.
func (c *completion) upToSlash() string {
	dir, _ := filepath.Split(c.typed[c.at:])
	c.at += len(dir)
	return dir
}

// expandHome does what the shell will do with ~/, as long as it has not.
func expandHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(os.Getenv("HOME"), rest)
	}
	return path
}

// patterns offers the names in the archive that is given, as patterns that mean
// just them.
func (c *completion) patterns() { c.names(escapePattern) }

// objects does so where names are exact.
func (c *completion) objects() { c.names(func(name string) string { return name }) }

// names offers the tokens, and the objects of a token that is typed.
func (c *completion) names(write func(string) string) {
	typed := c.upToSlash()
	offered := map[string]bool{}
	err := c.each(func(t *format.Token, r *format.Record) {
		if t == nil || r.Kind.Descriptor() {
			return
		}
		token := write(t.Name.String()) + "/"
		name, about := token, t.Label
		if strings.HasPrefix(typed, token) {
			name, about = token+write(r.Name.String()), strings.ReplaceAll(class(r), " ", "-")
		}
		if rest, ok := strings.CutPrefix(name, typed); ok && !offered[name] {
			offered[name] = true
			c.operand(rest, about)
		}
	})
	if err != nil {
		c.words = nil // what does not hold to its end is not believed
	}
}

// operand offers what is not to be taken for a flag.
func (c *completion) operand(text, about string) {
	if c.given.plain || c.at > 0 || !strings.HasPrefix(text, "-") {
		c.offer(text, about)
	}
}

// escapePattern writes a name as the pattern that matches it and no other.
func escapePattern(name string) string { return wildcards.Replace(name) }

var wildcards = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

var errNotNow = errors.New("not without asking")

// each lists the archive, if it is a file and a key at hand opens it without a
// passphrase or a plugin.
func (c *completion) each(each stages.Each) error {
	file, ids := c.givenValues("file"), c.givenValues("identity")
	if env := os.Getenv("TOKAR_IDENTITY"); env != "" && len(ids) == 0 {
		ids = []string{env}
	}
	if len(file) != 1 || len(ids) == 0 {
		return errNotNow
	}
	o := stages.ListOptions{OpenOptions: stages.OpenOptions{Each: each}}
	for _, path := range ids {
		f, err := openQuietly(path)
		if err != nil {
			return err
		}
		id, err := keyslot.ParseIdentities(f, path, &keyslot.UI{NoPlugin: true})
		f.Close()
		if err != nil {
			return err
		}
		o.Identities = append(o.Identities, id)
	}
	f, err := openQuietly(file[0])
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = stages.List(context.Background(), f, o)
	return err
}

// givenValues are those of a flag that stands before the cursor.
func (c *completion) givenValues(name string) (values []string) {
	for _, f := range c.given.flags {
		if v, ok := strings.CutPrefix(f, "--"+name+"="); ok {
			values = append(values, v)
		}
	}
	return values
}

// openQuietly opens a regular file and nothing else: a pipe could wait, a
// terminal would lose what is typed.
func openQuietly(path string) (*os.File, error) {
	f, err := os.OpenFile(expandHome(path), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errNotNow
	}
	return f, nil
}
