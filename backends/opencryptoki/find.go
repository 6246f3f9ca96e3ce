package opencryptoki

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/backends/swap"
	"tokar/format"
)

// Find gives the token at path if it holds NVTOK.DAT, else the tokens of the
// directories below it: those of a base directory, and each user's below its
// TPM directory. Below a TPM token of releases 3.8 to 3.11, which stands in
// the TPM directory itself, users' tokens of later releases may stand too.
func (Backend) Find(ctx context.Context, path string) (backends.Found, error) {
	f := finder{ctx: ctx}
	if err := f.find(path); err != nil {
		return backends.Found{}, fmt.Errorf("cannot look for tokens: %w", err)
	}
	slices.SortFunc(f.Tokens, func(a, b backends.Location) int { return cmp.Compare(string(a.Name), string(b.Name)) })
	return f.Found, nil
}

// tokenName is what a token named by its own path is called.
func tokenName(path, abs string) format.Name {
	name := filepath.Base(abs)
	if filepath.Base(filepath.Dir(abs)) == tpmBase && isTPM(path) {
		return format.NameOf(tpmBase, name)
	}
	return format.NameOf(name)
}

// finder gathers what Find sees.
type finder struct {
	backends.Found
	ctx context.Context
}

// find looks at the operand, the links in it resolved once, and shows what it
// sees as the operator named it.
func (f *finder) find(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return err
	}
	if err := f.operand(real, abs); err != nil {
		return err
	}
	named := func(found string) string { return filepath.Join(path, strings.TrimPrefix(found, real)) }
	for i, l := range f.Tokens {
		f.Tokens[i].Path, f.Tokens[i].Real = named(l.Path), l.Path
	}
	for i, p := range f.Passed {
		f.Passed[i].Path = named(p.Path)
	}
	return nil
}

// operand looks at path, which the operator named abs.
func (f *finder) operand(path, abs string) error {
	if info, err := os.Stat(path); err != nil {
		return err
	} else if !info.IsDir() {
		f.pass(path, "not a directory")
		return nil
	}
	done, err := f.token(path, tokenName(path, abs))
	if !done && err == nil {
		err = f.below(path, filepath.Base(abs) == tpmBase)
	}
	return err
}

// token adds the token at path, if one is there, and says whether the place is
// dealt with.
func (f *finder) token(path string, name format.Name) (done bool, err error) {
	if reason := noToken(filepath.Base(name.String())); reason != "" {
		if swap.HoldsOld(path) {
			f.doubt(path, "a restore that was killed has a token in it; the next restore of that token puts it back")
			return true, nil
		}
		f.pass(path, reason)
		return true, nil
	}
	if holds, err := holdsToken(path); !holds {
		return false, err
	}
	f.Tokens = append(f.Tokens, backends.Location{Kind: Kind, Name: name, Path: path})
	if string(name) == tpmBase && isTPM(path) {
		return true, f.users(path)
	}
	return true, nil
}

// users adds the tokens of users below a TPM token; other directories there
// are part of that token.
func (f *finder) users(path string) error {
	children, err := os.ReadDir(path)
	for _, c := range children {
		child := filepath.Join(path, c.Name())
		if !c.IsDir() {
			continue
		}
		holds, lerr := holdsToken(child)
		if holds {
			_, lerr = f.token(child, format.NameOf(tpmBase, c.Name()))
		}
		f.hide(child, lerr)
	}
	return err
}

// below adds the tokens one level below a base directory, two below its TPM
// directory.
func (f *finder) below(path string, ofTPM bool) error {
	children, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		f.child(filepath.Join(path, c.Name()), c, ofTPM)
	}
	return f.ctx.Err()
}

// child looks at one entry of a base directory, or of its TPM directory.
func (f *finder) child(path string, c os.DirEntry, ofTPM bool) {
	name := format.NameOf(c.Name())
	if ofTPM {
		name = format.NameOf(tpmBase, c.Name())
	}
	if c.Type()&os.ModeSymlink != 0 {
		f.doubt(path, "a symbolic link, which is not followed")
		return
	}
	if !c.IsDir() {
		f.pass(path, "not a directory")
		return
	}
	done, err := f.token(path, name)
	switch {
	case done || err != nil:
	case c.Name() == tpmBase && !ofTPM:
		err = f.below(path, true)
	case remains(path) != "":
		f.doubt(path, "it has "+remains(path)+" and no "+nvtokName+": a token that lost it, and that openCryptoki does not see; tokar diff says how to put it back")
	default:
		f.pass(path, "no "+nvtokName)
	}
	f.hide(path, err)
}

func (f *finder) pass(path, reason string) {
	f.Passed = append(f.Passed, backends.Passed{Path: path, Reason: reason})
}

// doubt notes a place that may be a token and is not archived.
func (f *finder) doubt(path, reason string) {
	f.Passed = append(f.Passed, backends.Passed{Path: path, Reason: reason, Hidden: true})
}

// remains names a file that only a token has. Packages make empty directories
// for tokens that nobody uses; those have none.
func remains(path string) string {
	for _, name := range []string{soKeyName, userKeyName, indexPath} {
		if _, err := os.Lstat(filepath.Join(path, name)); err == nil {
			return name
		}
	}
	return ""
}

// hide notes a place that cannot be looked at: it may be a token.
func (f *finder) hide(path string, err error) {
	if cause := (*os.PathError)(nil); errors.As(err, &cause) {
		err = cause.Err
	}
	if err != nil && f.ctx.Err() == nil {
		f.doubt(path, "it cannot be looked at: "+err.Error())
	}
}

// noToken gives the reason why a directory of this name is never a token.
func noToken(name string) string {
	switch {
	case name == masterState:
		return "state of a change of HSM master keys"
	case strings.HasSuffix(name, oldSuffix):
		return "an old copy that a restore kept"
	case strings.HasSuffix(name, swap.Suffix):
		return "a restore that did not end left it"
	case strings.HasSuffix(name, bakSuffix):
		return "the copy that a migration keeps"
	case strings.HasSuffix(name, migratedSuffix):
		return "the token that undoing a migration put aside"
	case strings.HasSuffix(name, migratingSuffix):
		return "a migration that did not end left it"
	}
	return ""
}

// holdsToken says whether a directory has something called NVTOK.DAT.
func holdsToken(path string) (bool, error) {
	_, err := os.Lstat(filepath.Join(path, nvtokName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isTPM tells a TPM token by its model, or by the files that only it has.
func isTPM(path string) bool {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	f, _ := readFile(dir, []byte(nvtokName), make([]byte, tokendata.NVTOKNew+tokendata.ICSFRecord+1))
	if v := tokendata.ParseNVTOK(f.data).Variant(); v != tokendata.Unknown {
		return v == tokendata.TPM
	}
	return exists(dir, tpmKeyName) || exists(dir, "PUBLIC_ROOT_KEY.pem") || exists(dir, "PRIVATE_ROOT_KEY.pem")
}
