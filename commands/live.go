package commands

import (
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/stages"
)

// readingFlags say how tokens are read that programs may be using.
func readingFlags() []cli.Flag {
	return []cli.Flag{
		lockDirFlag(),
		&cli.BoolFlag{Name: "no-lock", Usage: "read tokens without their locks, and again what changes meanwhile"},
	}
}

func lockDirFlag() cli.Flag {
	return &cli.StringFlag{Name: "lock-dir", Usage: "the locks of openCryptoki's tokens are in `DIR` (default: lock/opencryptoki beside the lib/opencryptoki that they are in)"}
}

func readingOf(s *session, c *cli.Context) (r backends.Reading, err error) {
	r.NoLock = c.Bool("no-lock")
	if r.Locks, err = lockDirOf(s, c); err != nil {
		return r, err
	}
	if r.NoLock && r.Locks != "" {
		return r, usagef(s.name, "--no-lock and --lock-dir exclude each other")
	}
	return r, nil
}

func lockDirOf(s *session, c *cli.Context) (string, error) {
	dir := c.String("lock-dir")
	if dir == "" {
		return "", nil
	}
	if info, err := os.Stat(dir); err != nil {
		return "", usagef(s.name, "--lock-dir %s: %w", quote(dir), causeOf(err))
	} else if !info.IsDir() {
		return "", usagef(s.name, "--lock-dir %s is no directory", quote(dir))
	}
	return dir, nil
}

// readAs has all inputs read in this way.
func readAs(inputs []stages.Input, r backends.Reading) {
	for i := range inputs {
		inputs[i].Reading = r
	}
}

// noneOpened is how a run ends that could open no token: busy, if all it takes
// is that programs give their locks back.
func (s *session) noneOpened() error {
	err := failedf("", "no token could be opened")
	if errors.Is(s.lastProblem, backends.ErrLocked) {
		return &failure{code: exitBusy, err: err, todo: todo(s.lastProblem)}
	}
	return err
}
