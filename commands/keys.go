package commands

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"tokar/format"
	"tokar/format/keyslot"
)

func recipientFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "recipient", Aliases: []string{"r"}, Usage: "who may restore: `KEY` is tokar-hpke-…, age1… or an SSH public key"},
		&cli.StringSliceFlag{Name: "recipients-file", Aliases: []string{"R"}, Usage: "… each key in `FILE`, one a line (TOKAR_RECIPIENTS_FILE)"},
		&cli.StringSliceFlag{Name: "verifier", Usage: "who may only list and verify: `KEY`"},
		&cli.StringSliceFlag{Name: "verifier-file", Usage: "… each key in `FILE`"},
		&cli.BoolFlag{Name: "mixed", Usage: "allow post-quantum beside classical keys: the archive is then as weak as the weakest"},
	}, passphraseFlags("a passphrase restores too: ask for it")...)
}

func identityFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "identity", Aliases: []string{"i"}, Usage: "the key in `FILE` opens the archive: tokar's, age's or an SSH private key (TOKAR_IDENTITY)"},
	}, passphraseFlags("a passphrase opens it: ask for it")...)
}

func passphraseFlags(usage string) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "ask-passphrase", Aliases: []string{"p"}, Usage: usage},
		&cli.StringFlag{Name: "passphrase", Usage: "… take it from `SOURCE`: file:PATH, fd:N or env:NAME"},
	}
}

// passphraseSource is what -p and --passphrase say; empty if neither is given.
func passphraseSource(s *session, c *cli.Context) (secretSource, error) {
	return sourceOf(s, c, "-p", "ask-passphrase", "passphrase")
}

// sourceOf is what two flags say of where a passphrase comes from: one, shown so,
// has it asked for, the other names a source.
func sourceOf(s *session, c *cli.Context, shown, ask, from string) (secretSource, error) {
	switch source := c.String(from); {
	case source != "" && c.Bool(ask):
		return "", usagef(s.name, "%s asks for the passphrase and --%s takes it elsewhere; give one of them", shown, from)
	case source != "":
		return s.parseSource(from, source)
	case c.Bool(ask):
		return fromPrompt, nil
	}
	return "", nil
}

// recipientsOf reads who may open a new archive. The function it returns
// forgets the passphrase.
func recipientsOf(s *session, c *cli.Context) (to keyslot.Recipients, forget func(), err error) {
	forget = func() {}
	source, err := passphraseSource(s, c)
	if err != nil {
		return to, forget, err
	}
	keys, files := c.StringSlice("recipient"), c.StringSlice("recipients-file")
	if env := os.Getenv("TOKAR_RECIPIENTS_FILE"); env != "" && len(keys) == 0 && len(files) == 0 {
		files = []string{env}
	}
	if len(keys) == 0 && len(files) == 0 && source == "" {
		return to, forget, usagef(s.name, "nobody could open the archive; make a key with \"tokar keygen -o restore.key\" and give -R restore.key.pub, or -p for a passphrase")
	}
	return s.slotsFor(c, keys, files, source)
}

// slotsFor reads who gets a key slot: these may restore, so may who knows the
// passphrase if it has a source, and those of the verifiers' flags may verify.
func (s *session) slotsFor(c *cli.Context, keys, files []string, source secretSource) (to keyslot.Recipients, forget func(), err error) {
	forget = func() {}
	to.Mixed = c.Bool("mixed")
	if to.Restore, err = s.recipients("-r", keys, files); err != nil {
		return to, forget, err
	}
	if to.Verify, err = s.recipients("--verifier", c.StringSlice("verifier"), c.StringSlice("verifier-file")); err != nil {
		return to, forget, err
	}
	if source != "" {
		p := keyslot.NewPassphrase(func() ([]byte, error) { return source.read(s, "a new passphrase for the archive", true) })
		to.Restore, forget = append(to.Restore, p), p.Wipe
	}
	return to, forget, nil
}

func (s *session) recipients(flag string, keys, files []string) (all []format.Recipient, err error) {
	for _, k := range keys {
		r, err := keyslot.ParseRecipient(k, s.ui(""))
		if err != nil {
			return nil, s.badRecipient(flag, k, err)
		}
		all = append(all, r)
	}
	for _, path := range files {
		f, err := s.open(path, "recipients")
		if err != nil {
			return nil, noKeyFile(fileFlags[flag], path, err)
		}
		rs, err := keyslot.ParseRecipients(s.patient(f), path, s.ui(""))
		f.Close()
		if err != nil {
			return nil, usagef(s.name, "%w", err)
		}
		all = append(all, rs...)
	}
	return all, nil
}

// fileFlags are the flags for files of what a flag takes one of.
var fileFlags = map[string]string{"-r": "-R", "--verifier": "--verifier-file"}

// noKeyFile says which flag named a file that cannot be opened.
func noKeyFile(flag, path string, err error) error {
	if _, ok := err.(*os.PathError); ok {
		err = fmt.Errorf("%s %s: %w", flag, quote(path), causeOf(err))
	}
	return &failure{code: exitUsage, err: err}
}

// badRecipient never repeats what was given, which may be a secret, unless it
// is a file.
func (s *session) badRecipient(flag, key string, err error) error {
	if _, serr := os.Stat(key); serr == nil {
		return usagef(s.name, "%s takes a key; for the keys in a file write %s %s", flag, fileFlags[flag], quote(key))
	}
	return usagef(s.name, "%s: %w", flag, err)
}

// identitiesOf reads what shall open an archive. Without any, a passphrase is
// asked for if the archive has a slot for one.
func identitiesOf(s *session, c *cli.Context) (ids []format.Identity, forget func(), err error) {
	forget = func() {}
	source, err := passphraseSource(s, c)
	if err != nil {
		return nil, forget, err
	}
	files := identityFiles(c)
	for _, path := range files {
		id, err := s.identity(path, source)
		if err != nil {
			return nil, forget, err
		}
		ids = append(ids, id)
	}
	if source == "" && len(files) == 0 {
		source = fromPrompt
	}
	if source != "" {
		p := keyslot.NewPassphrase(func() ([]byte, error) { return source.read(s, "the archive's passphrase", false) })
		ids, forget = append(ids, p), p.Wipe
	}
	return ids, forget, nil
}

func identityFiles(c *cli.Context) []string {
	files := c.StringSlice("identity")
	if env := os.Getenv("TOKAR_IDENTITY"); env != "" && len(files) == 0 {
		files = []string{env}
	}
	return files
}

func (s *session) identity(path string, source secretSource) (format.Identity, error) {
	f, err := s.open(path, "an identity")
	if err != nil {
		return nil, noKeyFile("-i", path, err)
	}
	defer f.Close()
	id, err := keyslot.ParseIdentities(s.patient(f), path, s.ui(source))
	if err != nil {
		return nil, usagef(s.name, "%w", err)
	}
	s.warnIfReadable(f, path)
	return id, nil
}

// ui is how keys ask. A locked identity takes its passphrase from source, or
// asks.
func (s *session) ui(source secretSource) *keyslot.UI {
	if source == "" {
		source = fromPrompt
	}
	return &keyslot.UI{
		Passphrase: func(name string) ([]byte, error) {
			return source.read(s, "the passphrase of "+quote(name), false)
		},
		PublicKey: func(name string) ([]byte, error) { return os.ReadFile(name + ".pub") },
		Plugin:    s.pluginUI(),
	}
}

// pluginUI lets age's plugins talk on the terminal.
func (s *session) pluginUI() keyslot.PluginUI {
	return keyslot.PluginUI{
		DisplayMessage: func(plugin, message string) error {
			s.report.warn("%s: %s", escape(plugin), escape(message))
			return nil
		},
		RequestValue: func(plugin, question string, secret bool) (string, error) {
			answer, err := prompt(s, escape(plugin)+": "+escape(question), false)
			return string(answer), err
		},
		Confirm: func(plugin, question, yes, no string) (bool, error) {
			return false, fmt.Errorf("the plugin %s asks to confirm: %s", escape(plugin), escape(question))
		},
		WaitTimer: func(plugin string) {
			s.report.warn("waiting for the plugin %s", escape(plugin))
		},
	}
}
