package commands

import (
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/stages"
)

// readingFlags say how tokens are read that programs may be using.
func readingFlags() []cli.Flag {
	return []cli.Flag{
		lockDirFlag(),
		&cli.StringFlag{Name: "pem-dir", Usage: "the PEM files of a TPM token that are kept off the disk are in `DIR`, of several tokens in DIR/USER"},
		&cli.BoolFlag{Name: "no-lock", Usage: "read tokens without their locks, and again what changes meanwhile"},
	}
}

func lockDirFlag() cli.Flag {
	return &cli.StringFlag{Name: "lock-dir", Usage: "the locks of openCryptoki's tokens are in `DIR` (default: lock/opencryptoki beside the lib/opencryptoki that they are in)"}
}

func readingOf(s *session, c *cli.Context) (r backends.Reading, err error) {
	r.NoLock = c.Bool("no-lock")
	if r.Locks, err = directoryOf(s, c, "lock-dir"); err != nil {
		return r, err
	}
	if r.PEMs, err = directoryOf(s, c, "pem-dir"); err != nil {
		return r, err
	}
	if r.NoLock && r.Locks != "" {
		return r, usagef(s.name, "--no-lock and --lock-dir exclude each other")
	}
	return r, nil
}

// directoryOf is a directory that a flag names; empty where none is given.
func directoryOf(s *session, c *cli.Context, flag string) (string, error) {
	dir := c.String(flag)
	if dir == "" {
		return "", nil
	}
	if info, err := os.Stat(dir); err != nil {
		return "", usagef(s.name, "--%s %s: %w", flag, quote(dir), causeOf(err))
	} else if !info.IsDir() {
		return "", usagef(s.name, "--%s %s is no directory", flag, quote(dir))
	}
	return dir, nil
}

// readAs has all inputs read in this way.
func (s *session) readAs(inputs []stages.Input, r backends.Reading) error {
	if pems, _ := filepath.Glob(filepath.Join(r.PEMs, "*_ROOT_KEY.pem")); r.PEMs != "" && len(pems) > 0 && len(inputs) > 1 {
		return usagef(s.name, "--pem-dir %s has PEM files of one token, and %s are read; put them in DIR/USER", quote(r.PEMs), count(uint64(len(inputs)), "token"))
	}
	for i := range inputs {
		inputs[i].Reading = r
	}
	return nil
}

// noneOpened is how a run ends that could open no token: busy, if all it takes
// is that programs give their locks back.
func (s *session) noneOpened() error {
	err := failedf("", "no token could be opened")
	if s.report.busy {
		return &failure{code: exitBusy, err: err, todo: todo(backends.ErrLocked)}
	}
	return err
}
