package commands

import (
	"crypto/fips140"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tokar/format/keyslot"
)

func keygenCommand() *command {
	return &command{
		name:     "keygen",
		summary:  "make a key that opens archives",
		synopsis: "[flags] -o FILE",
		examples: `tokar keygen -o restore.key
tokar keygen -p -o restore.key
tokar keygen -o verify.key
tokar keygen --hpke -p -o fips.key`,
		text: `FILE, mode 0600, opens archives: give it with -i to all that read one. FILE.pub
may be known to everybody: give it to create with -R. Without FILE nobody opens
what was made for FILE.pub alone: keep a copy elsewhere. Keys are age's
post-quantum hybrids, since backups of keys must outlive the classical ones.
Where GODEBUG=fips140=only is set, only keys of --hpke can be made and used.`,
		flags: join([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the key to `FILE` and its public half to FILE.pub; - is stdout, without FILE.pub"},
			&cli.BoolFlag{Name: "x25519", Usage: "a short classical key"},
			&cli.StringFlag{Name: "hpke", Usage: "an HPKE key, which FIPS mode allows: `KEM` is mlkem768p256, post-quantum and the default, or p256, short and classical"},
			dryRunFlag(),
			&cli.BoolFlag{Name: "force", Usage: "replace existing files: what only the old key opens is lost"},
		}, passphraseFlags("lock the key with a passphrase: ask for it"), reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := keygenOptionsOf(s, c)
			if err != nil {
				return err
			}
			return keygen(s, o)
		},
	}
}

type keygenOptions struct {
	file   string
	source secretSource // of the passphrase; empty: not locked
	x25519 bool
	hpke   string // kind of HPKE key; empty: one of age's
	force  bool
	dryRun bool
}

func keygenOptionsOf(s *session, c *cli.Context) (o keygenOptions, err error) {
	o = keygenOptions{file: c.String("output"), x25519: c.Bool("x25519"), hpke: c.String("hpke"), force: c.Bool("force"), dryRun: c.Bool("dry-run")}
	if o.hpke != "" && !slices.Contains(keyslot.HPKESuites(), o.hpke) {
		return o, usagef(s.name, "--hpke=%s: there are %s", quote(o.hpke), strings.Join(keyslot.HPKESuites(), " and "))
	}
	if o.hpke != "" && o.x25519 {
		return o, usagef(s.name, "--hpke and --x25519 are different keys; give one of them")
	}
	if o.hpke == "" && fips140.Enforced() {
		return o, usagef(s.name, "age's keys are not FIPS-approved and this runs with fips140=only; --hpke makes keys that are; no key was made")
	}
	if len(s.operands) > 0 && slices.Contains(keyslot.HPKESuites(), s.operands[0].text) {
		return o, usagef(s.name, "the kind of HPKE key is written --hpke=%s", s.operands[0].text)
	}
	if len(s.operands) > 0 {
		return o, usagef(s.name, "the key's file is -o %s", quote(s.operands[0].text))
	}
	if o.file == "" {
		return o, usagef(s.name, "say where to write the key: -o FILE")
	}
	if err = s.dataTo(o.file); err != nil {
		return o, err
	}
	o.source, err = passphraseSource(s, c)
	return o, err
}

// keygen writes a new key and its public half.
func keygen(s *session, o keygenOptions) error {
	opts := outputOptions{what: "the key", flag: "-o", force: o.force, discard: o.dryRun}
	key, err := s.create(o.file, opts)
	if err != nil {
		return err
	}
	defer key.abandon()
	if key.path == "" && (key.stdout || !o.dryRun) {
		if _, err := o.write(s, key); err != nil {
			return err
		}
		return key.commit()
	}
	opts.mode = 0o644
	pub, err := s.create(o.file+".pub", opts)
	if err != nil {
		return left(err, "no key was made")
	}
	defer pub.abandon()
	if o.dryRun {
		s.report.result("would write %s and %s", quote(o.file), quote(o.file+".pub"))
		return nil
	}
	recipient, err := o.write(s, key)
	if err == nil {
		_, err = fmt.Fprintln(pub, recipient)
	}
	if err == nil {
		err = key.commit()
	}
	if key.stayed {
		return left(err, key.untouched())
	}
	if err != nil {
		return left(err, "no key was made")
	}
	if err := pub.commit(); err != nil {
		return &failure{code: exitPartway, err: err, left: quote(o.file) + " was made; its second line is the public half"}
	}
	s.summary = &jsonSummary{Recipient: recipient}
	s.report.result("public key: %s (in %s)", shortKey(recipient), quote(o.file+".pub"))
	s.report.result("keep %s safe, and a copy elsewhere: archives made for its public key open with it, and without it they may not open at all", quote(o.file))
	return nil
}

// write makes the key and writes it.
func (o keygenOptions) write(s *session, out *output) (recipient string, err error) {
	generate, lock := keyslot.GenerateHybrid, keyslot.Lock
	switch {
	case o.hpke != "":
		generate = func(now time.Time) ([]byte, string, error) { return keyslot.GenerateHPKE(now, o.hpke) }
		lock = keyslot.LockHPKE
	case o.x25519:
		generate = keyslot.GenerateX25519
	}
	file, recipient, err := generate(time.Now())
	if err != nil {
		return "", err
	}
	defer clear(file)
	if o.source != "" {
		plain := file
		if file, err = o.lock(s, plain, lock); err != nil {
			return "", err
		}
	}
	_, err = out.Write(file)
	return recipient, err
}

func (o keygenOptions) lock(s *session, file []byte, lock func(file, passphrase []byte) ([]byte, error)) ([]byte, error) {
	passphrase, err := o.source.read(s, "a new passphrase for the key", true)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	return lock(file, passphrase)
}

// shortKey shows a public key whole if a line can hold it: post-quantum ones
// have two thousand characters.
func shortKey(recipient string) string {
	if len(recipient) <= 80 {
		return recipient
	}
	return fmt.Sprintf("%s…, %d characters", recipient[:32], len(recipient))
}
