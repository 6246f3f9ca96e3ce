package commands

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

// configFlags are those of commands that find tokens by a host's configuration.
func configFlags(usage string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "the host's opencryptoki.conf is `FILE`: " + usage},
		&cli.StringFlag{Name: "base", Usage: "with --config: the tokens are in `DIR` (PKCS_APP_STORE; /var/lib/opencryptoki)"},
	}
}

// configuration reads --config; nil without it. With absent the file need not be
// there yet.
func (s *session) configuration(c *cli.Context, absent bool) (backends.Host, error) {
	path, base := c.String("config"), c.String("base")
	if path == "" {
		if base != "" {
			return nil, usagef(s.name, "--base is where the tokens of --config are")
		}
		return nil, nil
	}
	if s.dir != "" || slices.ContainsFunc(s.operands, func(o operand) bool { return o.dir != "" }) {
		return nil, usagef(s.name, "--config says where the tokens are, and -C too; with --config that is --base DIR")
	}
	for _, b := range all.Backends() {
		if k, ok := b.(backends.Hosted); ok {
			cfg, err := k.Host(path, base, absent)
			if err != nil && errors.Is(err, fs.ErrPermission) {
				return nil, failedf("", "the configuration %s cannot be read: %w", quote(path), err)
			}
			if err != nil {
				return nil, failedf("", "the configuration %s: %w", quote(path), err)
			}
			return cfg, nil
		}
	}
	return nil, failedf("", "no kind of token has a configuration")
}

// backendFor is the backend of a kind that an archive names: of a configuration
// the host's own, where there is one.
func backendFor(cfg backends.Host) func(string) (backends.Backend, error) {
	return func(kind string) (backends.Backend, error) {
		if cfg != nil && kind == cfg.Kind() {
			return cfg, nil
		}
		return all.ByKind(kind)
	}
}

// configPlace is where a configuration from an archive stands: where --config
// says, or where it was.
func configPlace(cfg backends.Host, t *format.Token) (dir string, name format.Name) {
	path := t.Property("path")
	if cfg != nil {
		path = cfg.Files().Path
	}
	return filepath.Dir(path), format.NameOf(filepath.Base(path))
}

// isConfiguration says whether an archived token is a host's configuration.
func isConfiguration(t *format.Token) bool {
	b, err := all.ByKind(t.Kind)
	_, is := b.(backends.Host)
	return err == nil && is
}

// named gives operands as the archive names tokens: a slot's number, and a label
// that one token of the host has, become that token's name, also before a slash.
func named(ctx context.Context, s *session, cfg backends.Host, operands []operand) ([]operand, error) {
	if cfg == nil {
		return operands, nil
	}
	for i, o := range operands {
		word, rest, more := strings.Cut(o.text, "/")
		found, err := cfg.Select(ctx, word)
		if err != nil && word != "" {
			return nil, usagef(s.name, "%s", err)
		}
		if len(found.Tokens) != 1 || word == "" {
			continue
		}
		operands[i].text = patternOf(found.Tokens[0].Name.String())
		if more {
			operands[i].text += "/" + rest
		}
	}
	return operands, nil
}

// configured finds the tokens that words of a configuration mean; without any all
// of them.
func (f *tokenFinder) configured(ctx context.Context, cfg backends.Host, operands []operand) error {
	if len(operands) == 0 {
		operands = []operand{{}}
	}
	for _, o := range operands {
		found, err := cfg.Select(ctx, o.text)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && o.text != "":
			return usagef(f.s.name, "%s", err)
		case err != nil:
			return err
		}
		f.passed(found, o.text != "")
		if len(found.Tokens)+len(found.Passed) == 0 && o.text != "" {
			f.s.report.plain("no-token", o.text, "no slot has this number, and no slot's token this name or label")
		}
		for _, loc := range found.Tokens {
			b, err := all.ByKind(loc.Kind)
			if err == nil {
				err = f.add(stages.Input{Backend: b, Location: loc})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// misfits tells in what a token is not what the configuration says of it.
func (s *session) misfits(cfg backends.Host, t *format.Token) {
	if cfg == nil {
		return
	}
	for _, f := range cfg.Misfits(t) {
		n := notice{Finding: f, token: t.Name.String()}
		if b, err := all.ByKind(t.Kind); err == nil {
			n.advice = adviceOf(b, f.Kind, backends.Subject{Token: t}, restore{}, "")
		}
		s.report.tell(n)
	}
}
