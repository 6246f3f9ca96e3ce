package main_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tokar/format"
)

// A rekeying of an archive where it stands, which gives it a second key.
type rekeying struct {
	*rig
	archive, second string
	old             []byte
	frames          []byte
}

func newRekeying(t *testing.T) *rekeying {
	t.Helper()
	r := &rekeying{rig: newRig(t), archive: filepath.Join(quickDir(t), "archive")}
	r.second = filepath.Join(filepath.Dir(r.key), "second.key")
	r.must(t, "keygen", "-q", "--x25519", "-o", r.second)
	source := filepath.Join(t.TempDir(), "swtok")
	placeFew(t, "swtok", source)
	r.must(t, "create", "-q", "-R", r.key+".pub", "-f", r.archive, source)
	var err error
	if r.old, err = os.ReadFile(r.archive); err == nil {
		_, r.frames, err = taken(r.old)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// taken are an archive's generation and its frames.
func taken(b []byte) (uint32, []byte, error) {
	h, err := format.ReadHeader(bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	if len(b) < format.FooterSize {
		return 0, nil, errors.New("no footer")
	}
	footer, err := format.DecodeFooter(b[len(b)-format.FooterSize:])
	if err != nil {
		return 0, nil, err
	}
	return h.Generation, b[len(h.Bytes()):][:footer.Frames], nil
}

// anew puts the old archive back, and nothing beside it.
func (r *rekeying) anew(t *testing.T) {
	t.Helper()
	for _, name := range r.left(t) {
		os.Remove(filepath.Join(filepath.Dir(r.archive), name))
	}
	os.Remove(r.archive)
	err := os.WriteFile(r.archive, r.old, 0o600)
	if err == nil {
		err = os.Chmod(r.archive, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// left are the files beside the archive.
func (r *rekeying) left(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(r.archive))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(r.archive) {
			names = append(names, e.Name())
		}
	}
	return names
}

// stands says whether the archive is the new one; it is an error if it is
// neither that nor the old one, byte for byte.
func (r *rekeying) stands(t *testing.T) (new bool, err error) {
	t.Helper()
	info, err := os.Stat(r.archive)
	if err != nil {
		return false, err
	}
	if info.Mode().Perm() != 0o640 {
		return false, fmt.Errorf("mode %v", info.Mode())
	}
	now, err := os.ReadFile(r.archive)
	if err != nil || bytes.Equal(now, r.old) {
		return false, err
	}
	generation, frames, err := taken(now)
	if err != nil || generation != 1 || !bytes.Equal(frames, r.frames) {
		return false, fmt.Errorf("neither old nor new: generation %d, %v", generation, err)
	}
	r.must(t, "verify", "-q", "-i", r.key, "-f", r.archive)
	r.must(t, "verify", "-q", "-i", r.second, "-f", r.archive)
	return true, nil
}

func (r *rekeying) rekey(t *testing.T, plan []string) outcome {
	t.Helper()
	return r.run(t, filepath.Dir(r.archive), plan, "rekey", "-i", r.key, "-R", r.second+".pub", "-f", r.archive)
}

// TestRekeyKilled kills a rekeying at each of its calls. The archive is the old
// one or the new one; what else is left the next run clears away.
func TestRekeyKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRekeying(t)
	points, olds, news, leftovers := 0, 0, 0, 0
	for n := 1; ; n++ {
		r.anew(t)
		o := r.rekey(t, at(n, "-kill"))
		new, err := r.stands(t)
		if err == nil && !o.Fired {
			if !new || o.Exit != 0 || len(r.left(t)) > 0 {
				t.Errorf("without a kill: exit code %d, beside it %q: %s", o.Exit, r.left(t), o.stderr)
			}
			break
		}
		points++
		if new {
			news++
		} else {
			olds++
		}
		for _, name := range r.left(t) {
			leftovers++
			path := filepath.Join(filepath.Dir(r.archive), name)
			info, serr := os.Lstat(path)
			long := time.Now().Add(-2 * time.Minute)
			if serr != nil || !strings.HasPrefix(name, ".archive.part-") || info.Mode().Perm()&^0o640 != 0 || os.Chtimes(path, long, long) != nil {
				t.Errorf("%s is left with mode %v, %v", name, info.Mode(), serr)
			}
		}
		if err == nil {
			r.must(t, "rekey", "-q", "-i", r.key, "-R", r.second+".pub", "-f", r.archive)
			r.must(t, "verify", "-q", "-i", r.second, "-f", r.archive)
			if names := r.left(t); len(names) > 0 {
				err = fmt.Errorf("the next run leaves %q", names)
			}
		}
		if err != nil {
			t.Errorf("killed at %d, %s %s: %v", n, o.Call, o.Path, err)
		}
	}
	t.Logf("counted: killed at %d points: %d times the old archive stood there, %d times the new one; %d files were left", points, olds, news, leftovers)
	if points < 12 || olds == 0 || news == 0 || leftovers == 0 {
		t.Error("too few")
	}
}

// TestRekeyFails makes each call of a rekeying fail. Whatever does, the old
// archive stands there and nothing beside it, unless the run says otherwise.
func TestRekeyFails(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRekeying(t)
	points := 0
	for _, f := range append(outputFaults, fault{"reads", unix.EIO, false, 1}) {
		for n := 1; ; n++ {
			r.anew(t)
			plan := at(n, "-calls", f.calls, "-fail", unix.ErrnoName(f.errno))
			if f.ever {
				plan = append(plan, "-ever")
			}
			o := r.rekey(t, plan)
			if err := r.failed(t, o, f); err != nil {
				t.Errorf("%s (ever: %v) at %d, %s %s: %v\nexit code %d: %s", unix.ErrnoName(f.errno), f.ever, n, o.Call, o.Path, err, o.Exit, o.stderr)
			}
			if !o.Fired {
				break
			}
			points++
		}
	}
	t.Logf("counted: calls failed at %d points", points)
	if points < 60 {
		t.Error("too few")
	}
}

// failed judges what a run says and leaves.
func (r *rekeying) failed(t *testing.T, o outcome, f fault) error {
	t.Helper()
	new, err := r.stands(t)
	if err != nil {
		return err
	}
	removes := strings.HasPrefix(o.Call, "unlink") || f.ever && f.calls == "changes"
	if names := r.left(t); len(names) > 0 && !removes {
		return fmt.Errorf("%q is left", names)
	}
	switch {
	case o.Exit == 0 && !new:
		return errors.New("it is not new")
	// What is swept, and whether stdin is a terminal, may stay unknown; so may the
	// label that SELinux has for the old archive.
	case o.Exit == 0 && o.Fired && !slices.Contains(strings.Split(spared+",ioctl,getdents64,fgetxattr", ","), o.Call):
		return errors.New("exit code 0")
	case o.Exit == 0:
		return nil
	case o.Exit == 4 && new && strings.Contains(o.stderr, "is new and whole, and a loss of power may undo that"):
		return nil // it could not be taken back, either
	case o.Exit != 3 && o.Exit != 2 || new:
		return fmt.Errorf("new: %v", new)
	case !strings.Contains(o.stderr, f.errno.Error()):
		return errors.New("the cause is not told")
	}
	return nil
}

// TestRekeyChanged writes to the archive, or puts another in its place, at each
// call of a rekeying. It is then not replaced.
func TestRekeyChanged(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRekeying(t)
	for name, script := range map[string]string{
		"another": `printf another >"$0.new" && mv "$0.new" "$0"`,
		"written": `printf x >>"$0"`,
	} {
		refused, swapped := 0, false
		for n := 1; ; n++ {
			r.anew(t)
			command := strings.ReplaceAll(script, "$0", r.archive)
			o := r.rekey(t, at(n, "-exec", command))
			if !o.Fired {
				break
			}
			now, err := os.ReadFile(r.archive)
			if err != nil {
				t.Fatal(err)
			}
			changed := string(now) == "another" || bytes.Equal(now, append(bytes.Clone(r.old), 'x'))
			if strings.HasPrefix(o.Call, "rename") {
				swapped = true // it looked for the last time just before
			}
			switch {
			case swapped && o.Exit == 0:
			case !swapped && changed && (o.Exit == 5 || o.Exit == 7) && len(r.left(t)) == 0:
				refused++
			default:
				t.Errorf("%s at %d, %s %s: exit code %d, changed: %v, %q is left: %s", name, n, o.Call, o.Path, o.Exit, changed, r.left(t), o.stderr)
			}
		}
		t.Logf("counted: %s: refused at %d points", name, refused)
		if refused < 5 {
			t.Errorf("%s: too few", name)
		}
	}
}

// TestRekeyKeeps: owner, group, mode and access control list of an archive that
// is replaced stay, whatever the umask, and what files get by default where it
// stands does not come to it. While it is made nobody else has it.
func TestRekeyKeeps(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	r := newRekeying(t)
	r.archive = filepath.Join(t.TempDir(), "archive")
	dir := filepath.Dir(r.archive)
	const list, usual = "system.posix_acl_access", "system.posix_acl_default"
	entries := func(more ...uint16) (b []byte) {
		b = binary.LittleEndian.AppendUint32(nil, 2) // the version
		for i := 0; i < len(more); i += 3 {
			b = binary.LittleEndian.AppendUint16(b, more[i])
			b = binary.LittleEndian.AppendUint16(b, more[i+1])
			id := uint32(more[i+2])
			if id == 0 {
				id = ^uint32(0)
			}
			b = binary.LittleEndian.AppendUint32(b, id)
		}
		return b
	}
	own := entries(1, 6, 0, 2, 4, 4711, 4, 0, 0, 16, 4, 0, 32, 0, 0)
	byDefault := entries(1, 7, 0, 2, 7, 4712, 4, 7, 0, 16, 7, 0, 32, 7, 0)
	if err := unix.Setxattr(dir, usual, byDefault, 0); err != nil {
		t.Skipf("no access control lists here: %v", err)
	}
	for _, c := range []struct {
		mode     os.FileMode
		uid, gid int
		acl      []byte
	}{{0o600, 0, 0, nil}, {0o644, 1234, 5678, nil}, {0o440, 0, 5678, nil}, {0o640, 1234, 5678, own}} {
		for _, umask := range umasks {
			r.anew(t)
			err := errors.Join(unix.Removexattr(r.archive, list), os.Chown(r.archive, c.uid, c.gid), os.Chmod(r.archive, c.mode))
			if c.acl != nil {
				err = errors.Join(err, unix.Setxattr(r.archive, list, c.acl, 0))
			}
			if err != nil {
				t.Fatal(err)
			}
			var before, after unix.Stat_t
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(unix.Stat(r.archive, &before))
			if out, err := r.under(umask, "rekey", "-q", "-i", r.key, "-R", r.second+".pub", "-f", r.archive); err != nil {
				t.Fatalf("umask %s: %v: %s", umask, err, out)
			}
			must(unix.Stat(r.archive, &after))
			if before.Ino == after.Ino || before.Mode != after.Mode || before.Uid != after.Uid || before.Gid != after.Gid {
				t.Errorf("umask %s: mode %o, owner %d:%d; it was %o, %d:%d", umask, after.Mode, after.Uid, after.Gid, before.Mode, before.Uid, before.Gid)
			}
			acl := make([]byte, 1024)
			n, err := unix.Getxattr(r.archive, list, acl)
			if c.acl == nil && err != unix.ENODATA || c.acl != nil && !bytes.Equal(acl[:max(n, 0)], c.acl) {
				t.Errorf("umask %s: the list is %x, %v; it was %x", umask, acl[:max(n, 0)], err, c.acl)
			}
		}
	}
	r.anew(t)
	log := filepath.Join(t.TempDir(), "log")
	o := r.rekey(t, at(1, "-ever", "-exec", fmt.Sprintf("find %s -name '.*part*' -size +0 -printf '%%m\\n' >>%s", dir, log)))
	seen, err := os.ReadFile(log)
	if err != nil || o.Exit != 0 {
		t.Fatalf("%v: %s", err, o.stderr)
	}
	if modes := strings.Fields(string(seen)); len(modes) < 3 || modes[0] != "600" || strings.Trim(string(seen), "640\n") != "" {
		t.Errorf("in the making it has the modes %q", modes)
	}
}

// TestRekeyOfAnothers: who may not give the new archive to its owner leaves the
// old one.
func TestRekeyOfAnothers(t *testing.T) {
	r, dir, _ := unprivileged(t, 0o777)
	archive := filepath.Join(dir, "archive")
	source := filepath.Join(filepath.Dir(dir), "source")
	r.must(t, "create", "-q", "-R", r.key+".pub", "-f", archive, source)
	before, err := os.ReadFile(archive)
	if err == nil {
		err = os.Chmod(archive, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"rekey", "-i", r.key, "-R", r.key + ".pub", "-f", archive}
	o := r.as(t, asNobody, r.tokar, args...)
	after, _ := os.ReadFile(archive)
	entries, _ := os.ReadDir(dir)
	if o.Exit != 3 || !strings.Contains(o.stderr, "cannot have the owner and group of ") || !bytes.Equal(before, after) || len(entries) != 1 {
		t.Errorf("exit code %d, %d files: %s", o.Exit, len(entries), o.stderr)
	}
	if o := r.as(t, asNobody, r.tokar, append(args, "-o", filepath.Join(dir, "mine"))...); o.Exit != 0 {
		t.Errorf("with -o: exit code %d: %s", o.Exit, o.stderr)
	}
}

// TestPowerLossRekey looks at the states of the disk if the power fails while an
// archive is rekeyed: its name has the old one or the new one, whole, and from
// either the next run goes on.
func TestPowerLossRekey(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRekeying(t)
	dir, home := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, r.old, 0o600); err != nil {
		t.Fatal(err)
	}
	args := func(file string) []string {
		return []string{"rekey", "-q", "-i", r.key, "-R", r.second + ".pub", "-f", file}
	}
	before := load(t, dir)
	steps, _ := r.traced(t, dir, args(file)...)
	d := played(t, before, dir, steps, func(step) bool { return true })
	recovered, n := 0, 0
	different, err := d.states(wantedStates(), func(st state, steps int) error {
		if n++; n%29 == 0 {
			recovered++
			at := filepath.Join(home, strconv.Itoa(n))
			st.write(t, at)
			r.must(t, args(filepath.Join(at, "file"))...)
		}
		return wholeFile(d, st, steps == d.steps, r.old)
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("counted: power lost in %d states, gone on from %d", different, recovered)
	if different < 300 || recovered < 30 {
		t.Error("too few")
	}
}
