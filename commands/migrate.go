package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/format/keyslot"
	"tokar/stages"
)

func migrateCommand() *command {
	return &command{
		name:     "migrate",
		summary:  "bring openCryptoki tokens into the 3.12 (FIPS) format, and back",
		synopsis: "fips|undo [flags]",
		examples: `tokar migrate fips -n -c /etc/opencryptoki --pin file:user.pin --so-pin file:so.pin
tokar migrate fips --yes --slot 3 --config /etc/opencryptoki/opencryptoki.conf --pin file:user.pin --so-pin file:so.pin --archive before.tokar -R restore.key.pub
tokar migrate --scrub --yes --slot 3 -c /etc/opencryptoki
tokar migrate undo --yes --slot 3 -c /etc/opencryptoki
tokar migrate --byte-order big --yes --slot 3 -c /etc/opencryptoki --pin file:user.pin`,
		text: `fips does what pkcstok_migrate does, for Soft, ICA, CCA and EP11 tokens: every
object is decrypted, proved and encrypted anew under a new master key, beside the
token; then the configuration gets tokversion = 3.12, and the new token takes the
old one's place in one step. The old ones stay as NAME_BAK and FILE_BAK. Without
--slot every token of the configuration that is in the old format is migrated. An
object that cannot be converted ends the run before anything is changed, and is
named. The hashes of the PINs in the old format are not taken along.
undo puts NAME_BAK and the configuration back and keeps the migrated token as
NAME_MIGRATED; if objects were made, changed or deleted since, only with --force.
A run that was stopped is ended by the same command, or taken back by undo.
Without fips or undo, --byte-order recodes tokens for machines of the other byte
order, and --scrub removes the PIN hashes that pkcstok_migrate leaves in NVTOK.DAT.
pkcsslotd must not run. PINs are asked for unless flags give them; nobody logs in,
and no try is counted. pkcstok_migrate's own flags (-s, -d, -c, -u, -p, -v LEVEL)
are understood, and so is a y from a stdin that is no terminal; --yes is better.`,
		flags: join([]cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c", "confdir"}, Usage: "the configuration is `FILE`, or FILE/opencryptoki.conf (default: /etc/opencryptoki/opencryptoki.conf)"},
			&cli.StringSliceFlag{Name: "slot", Aliases: []string{"s", "slotid"}, Usage: "the token of slot `N` (default: all)"},
			&cli.StringFlag{Name: "datastore", Aliases: []string{"d"}, Usage: "the token's directory is `DIR`; without --slot, the one that holds the tokens"},
		}, pinFlags(), []cli.Flag{
			&cli.StringFlag{Name: "userpin", Aliases: []string{"u"}, Usage: "the user `PIN` itself, as pkcstok_migrate takes it; other users of the machine can see it"},
			&cli.StringFlag{Name: "sopin", Aliases: []string{"p"}, Usage: "… the SO `PIN`"},
			lockDirFlag(),
			&cli.StringFlag{Name: "byte-order", Usage: "recode for machines of this `ORDER`: little or big"},
			&cli.BoolFlag{Name: "scrub", Usage: "migrate nothing; remove what an earlier migration left of the old format's PIN hashes"},
			&cli.StringFlag{Name: "archive", Usage: "first archive the tokens as they are to `FILE`, and read that back"},
			&cli.StringSliceFlag{Name: "recipient", Aliases: []string{"r"}, Usage: "who may restore from it: `KEY` is tokar-hpke-…, age1… or an SSH public key"},
			&cli.StringSliceFlag{Name: "recipients-file", Aliases: []string{"R"}, Usage: "… each key in `FILE`, one a line (TOKAR_RECIPIENTS_FILE)"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			&cli.BoolFlag{Name: "force", Usage: "undo though objects have changed since"},
			jobsFlag(),
			progressFlag(),
			dryRunFlag(),
		}, reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := migrateOptionsOf(s, c)
			if err != nil {
				return err
			}
			defer o.forget()
			return migrate(s.ctx, s, o)
		},
	}
}

// What a migration does besides a change of byte order.
const (
	toFIPS = "fips"
	toOld  = "undo"
)

type migrateOptions struct {
	what      string // toFIPS, toOld or empty
	config    string
	slots     []int
	datastore string
	locks     string // their directory
	order     string
	scrub     bool
	archive   string
	to        keyslot.Recipients
	pins      *pins
	literal   map[bool][]byte // PINs from the command line; of the SO under true
	yes       bool
	force     bool
	dryRun    bool
	jobs      int
}

// forget zeroes the PINs.
func (o *migrateOptions) forget() {
	o.pins.forget()
	for _, pin := range o.literal {
		clear(pin)
	}
}

const defaultConfig = "/etc/opencryptoki/opencryptoki.conf"

func migrateOptionsOf(s *session, c *cli.Context) (o *migrateOptions, err error) {
	o = &migrateOptions{
		config: cmp.Or(c.String("config"), defaultConfig), datastore: c.String("datastore"), order: c.String("byte-order"),
		scrub: c.Bool("scrub"), archive: c.String("archive"), literal: map[bool][]byte{},
		yes: c.Bool("yes"), force: c.Bool("force"), dryRun: c.Bool("dry-run"),
	}
	if o.what, err = migrateWord(s, c); err != nil {
		return nil, err
	}
	if o.slots, err = slotNumbers(s, c.StringSlice("slot")); err != nil {
		return nil, err
	}
	if o.locks, err = directoryOf(s, c, "lock-dir"); err != nil {
		return nil, err
	}
	if o.jobs, err = jobs(s, c); err != nil {
		return nil, err
	}
	if o.pins, err = pinsOf(s, c); err != nil {
		return nil, err
	}
	for flag, so := range map[string]bool{"userpin": false, "sopin": true} {
		if pin := c.String(flag); pin != "" {
			s.report.warn("--%s shows a PIN to all users of this machine; --pin and --so-pin take it from a file, a descriptor or a variable", flag)
			o.literal[so] = []byte(pin)
		}
	}
	if o.archive != "" {
		if o.to, _, err = recipientsOf(s, c); err != nil {
			return nil, err
		}
	}
	return o, o.check(s, c)
}

// migrateWord is fips, undo or nothing; a word after it may be the level of
// pkcstok_migrate's -v.
func migrateWord(s *session, c *cli.Context) (string, error) {
	var words []string
	for _, op := range s.operands {
		words = append(words, op.text)
	}
	levels := []string{"none", "error", "warn", "info", "devel", "debug"}
	if n := len(words); n > 0 && c.Bool("verbose") && slices.Contains(levels, words[n-1]) {
		s.report.verbose = slices.Index(levels, words[n-1]) > 2
		words = words[:n-1]
	}
	switch {
	case len(words) == 0:
		return "", nil
	case len(words) == 1 && (words[0] == toFIPS || words[0] == toOld):
		return words[0], nil
	}
	return "", usagef(s.name, "%s is not understood; write migrate fips or migrate undo, and which token with --slot", quote(strings.Join(words, " ")))
}

func slotNumbers(s *session, texts []string) (list []int, err error) {
	for _, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, usagef(s.name, "--slot takes a number, not %s", quote(text))
		}
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list, nil
}

// check refuses what does not go together.
func (o *migrateOptions) check(s *session, c *cli.Context) error {
	recodes := o.what == toFIPS || o.order != ""
	switch {
	case o.order != "" && o.order != "little" && o.order != "big":
		return usagef(s.name, "--byte-order is little or big, not %s", quote(o.order))
	case o.what == "" && o.order == "" && !o.scrub:
		return usagef(s.name, "say what to do: %s as pkcstok_migrate does, migrate undo, --byte-order ORDER or --scrub", o.spelled())
	case o.what == toFIPS && o.scrub:
		return usagef(s.name, "--scrub migrates nothing, and what fips makes has no PIN hashes; leave out one of both")
	case o.what == toOld && (o.order != "" || o.scrub || o.archive != ""):
		return usagef(s.name, "undo puts back what was there, and takes none of --byte-order, --scrub and --archive")
	case o.force && o.what != toOld:
		return usagef(s.name, "--force is for undo")
	case o.archive == "" && len(c.StringSlice("recipient"))+len(c.StringSlice("recipients-file")) > 0:
		return usagef(s.name, "-r and -R say who may open the archive; where it goes is --archive FILE")
	case o.archive != "" && !recodes:
		return usagef(s.name, "--archive is for fips and --byte-order")
	case len(o.slots) > 1 && o.datastore != "":
		return usagef(s.name, "--datastore is one token's with --slot; give one slot")
	case !o.yes && !o.dryRun && !s.asks():
		return usagef(s.name, noAnswer)
	}
	for so, flag := range map[bool]string{false: "pin", true: "so-pin"} {
		if o.literal[so] != nil && len(c.StringSlice(flag)) > 0 {
			return usagef(s.name, "--%s and pkcstok_migrate's flag for it are both given", flag)
		}
	}
	return nil
}

// spelled is the command that migrates, with the slots that were given.
func (o *migrateOptions) spelled() string {
	words := "tokar migrate fips"
	for _, n := range o.slots {
		words += " -s " + strconv.Itoa(n)
	}
	return words + " …"
}

// A target is a slot's token.
type target struct {
	backends.Slot
	dir  string // holds it
	path string
}

func (t target) String() string { return fmt.Sprintf("%s (slot %d)", quote(t.path), t.Number) }

// migrating is one run of migrate.
type migrating struct {
	*session
	o       *migrateOptions
	backend backends.Migrater
	config  backends.Configuration
	targets []target
}

func migrate(ctx context.Context, s *session, o *migrateOptions) error {
	m := &migrating{session: s, o: o, backend: migrater()}
	s.report.stands = "the tokens were migrated"
	err := m.choose()
	if err == nil && !o.dryRun {
		err = m.settle()
	}
	switch {
	case err != nil:
		err = left(err, "nothing was changed")
	case o.what == toOld:
		err = m.undo(ctx)
	default:
		err = m.forward(ctx)
	}
	return quiet(err)
}

// quiet says of a token in use what helps here: no flag does.
func quiet(err error) error {
	var f *failure
	if !isAny(err, backends.ErrLocked, backends.ErrInUse) || !errors.As(err, &f) || f.code != exitBusy {
		return err
	}
	f.todo = "stop pkcsslotd and the programs that use the token, and try again"
	return err
}

// migrater is the kind of token that migrates.
func migrater() backends.Migrater {
	for _, b := range all.Backends() {
		if m, ok := b.(backends.Migrater); ok {
			return m
		}
	}
	panic("commands: no kind of token migrates")
}

// choose reads the configuration and finds the tokens.
func (m *migrating) choose() (err error) {
	if m.config, err = m.backend.Configuration(m.o.config); err != nil {
		if os.IsNotExist(err) {
			return &failure{code: exitUsage, err: err, todo: "say with --config where the configuration is"}
		}
		return err
	}
	slots := m.config.Slots()
	for _, n := range m.o.slots {
		if !slices.ContainsFunc(slots, func(s backends.Slot) bool { return s.Number == n }) {
			return &failure{code: exitUsage, err: fmt.Errorf("%s has no slot %d with a token", quote(m.config.File()), n)}
		}
	}
	base := m.base()
	byPath := map[string]int{}
	for _, slot := range slots {
		named := slices.Contains(m.o.slots, slot.Number)
		if len(m.o.slots) > 0 && !named {
			continue
		}
		path := filepath.Join(base, slot.Directory)
		if named && m.o.datastore != "" {
			path = filepath.Clean(m.o.datastore)
		}
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
				return fmt.Errorf("%s is a link that user %d made: it is not followed; look what it is, then remove it", quote(path), st.Uid)
			}
			path = realPath(path) // beside which all that a migration keeps is
		}
		if other := sharing(slots, slot); other >= 0 && slot.Migrates && m.o.what != "" {
			return fmt.Errorf("slots %d and %d both have their token in %s: what one of them says of its format counts for both; give each its own tokname first", slot.Number, other, quote(slot.Directory))
		}
		switch other, again := byPath[path]; {
		case !slot.Migrates && named:
			return fmt.Errorf("slot %d is one for %s: such tokens have one format only", slot.Number, slot.Variant)
		case !slot.Migrates:
			m.report.detail("slot %d, %s: such tokens have one format only", slot.Number, escape(slot.Variant))
			continue
		case again:
			return fmt.Errorf("slots %d and %d both have their token in %s", other, slot.Number, quote(path))
		}
		byPath[path] = slot.Number
		m.targets = append(m.targets, target{slot, filepath.Dir(path), path})
	}
	if len(m.targets) == 0 {
		return failedf("", "%s has no slot with a token that migrates", quote(m.config.File()))
	}
	return nil
}

// settle ends what a killed run began.
func (m *migrating) settle() error {
	for _, t := range m.targets {
		name := filepath.Base(t.path)
		if err := m.backend.Settle(t.dir, name, func(message string) { m.report.note(name, message) }); err != nil {
			return err
		}
	}
	return nil
}

// sharing is the number of another slot whose token is in the same directory, or -1.
// Where only one of the two got the new tokversion, the other would write the old
// format over the new.
func sharing(slots []backends.Slot, slot backends.Slot) int {
	for _, other := range slots {
		if other.Number != slot.Number && other.Directory == slot.Directory {
			return other.Number
		}
	}
	return -1
}

// base is the directory that holds the tokens.
func (m *migrating) base() string {
	if m.o.datastore != "" {
		return m.o.datastore
	}
	if h, ok := m.backend.(backends.Homed); ok {
		return cmp.Or(os.Getenv("PKCS_APP_STORE"), h.Home())
	}
	return "."
}

// located finds the token of a target; ok is false if none is there.
func (m *migrating) located(ctx context.Context, t target) (in stages.Input, ok bool, err error) {
	if _, err := os.Stat(t.path); errors.Is(err, os.ErrNotExist) {
		return in, false, nil
	}
	found, err := m.backend.Find(ctx, t.path)
	if err != nil || len(found.Tokens) != 1 || realPath(found.Tokens[0].Path) != realPath(t.path) {
		return in, false, err
	}
	loc := found.Tokens[0]
	loc.Name = format.NameOf(filepath.Base(loc.Real))
	loc.Reading.Locks = m.o.locks
	return stages.Input{Backend: m.backend, Location: loc}, true, nil
}

// numbers are the targets' slots.
func numbers(list []target) (slots []int) {
	for _, t := range list {
		slots = append(slots, t.Number)
	}
	return slots
}
