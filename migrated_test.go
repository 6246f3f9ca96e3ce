package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A moving is a migration, or its undoing, that tests stop or make fail at each
// of its steps. Below a directory stand tok/swtok and conf.
type moving struct {
	*rig
	home     string
	begin    string // what every run begins with
	undoes   bool
	old      string            // the token in the old format
	new      string            // the migrated one, masked: keys are drawn anew by each run
	confs    map[string]string // old and new
	runs     int
	each     int
	pins     []string
	migrated string // a directory after an undisturbed migration
}

const movedConf = "version v\n\nslot 1 {\n  stdll = libpkcs11_tpm.so\n}\nslot 3 {\n  stdll = libpkcs11_sw.so\n}\n"

// newMoving prepares a migration of a token with few objects.
func newMoving(t *testing.T, r *rig, undoes bool) *moving {
	t.Helper()
	home := quickDir(t)
	m := &moving{rig: r, home: home, undoes: undoes, begin: filepath.Join(home, "begin"), confs: map[string]string{}, each: 1}
	for name, pin := range map[string]string{"user.pin": "01234567", "so.pin": "76543210"} {
		write(t, filepath.Join(home, name), pin)
	}
	m.pins = []string{"--pin", "file:" + filepath.Join(home, "user.pin"), "--so-pin", "file:" + filepath.Join(home, "so.pin")}
	old := filepath.Join(home, "old")
	placeFew(t, "swtok", filepath.Join(old, "tok/swtok"))
	write(t, filepath.Join(old, "conf"), movedConf)
	m.old = tree(t, filepath.Join(old, "tok/swtok"))
	m.confs["old"] = movedConf

	m.migrated = filepath.Join(home, "migrated")
	cloneTree(t, old, m.migrated)
	r.must(t, m.forward(m.migrated)...)
	m.new = masked(tree(t, filepath.Join(m.migrated, "tok/swtok")))
	m.confs["new"] = text(t, filepath.Join(m.migrated, "conf"))
	if m.new == masked(m.old) || m.confs["new"] == movedConf {
		t.Fatal("the migration changes nothing")
	}
	if m.begin = old; undoes {
		m.begin = m.migrated
	}
	return m
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// masked takes from a migrated token what is drawn anew each time, but for how
// long it is, and whether it is all zeros.
func masked(text string) string {
	return drawn.ReplaceAllStringFunc(text, func(line string) string {
		at := strings.LastIndexByte(line, ' ')
		word := "random"
		if strings.Trim(line[at+1:], "0") == "" {
			word = "zeros"
		}
		return fmt.Sprintf("%s %s %d", line[:at], word, len(line)-at-1)
	})
}

var drawn = regexp.MustCompile(`(?m)^(?:(?:NVTOK\.DAT|MK_SO|MK_USER) .*|TOK_OBJ/\w{8} .* 0003000c01[0-9a-f]*)$`)

func (m *moving) forward(dir string) []string {
	return append([]string{"migrate", "fips", "--yes", "--config", dir + "/conf", "--slot", "3", "--datastore", dir + "/tok/swtok"}, m.pins...)
}

func (m *moving) back(dir string) []string {
	return []string{"migrate", "undo", "--yes", "--config", dir + "/conf", "--slot", "3", "--datastore", dir + "/tok/swtok"}
}

func (m *moving) args(dir string) []string {
	if m.undoes {
		return m.back(dir)
	}
	return m.forward(dir)
}

func (m *moving) fresh(t *testing.T) string {
	t.Helper()
	m.runs++
	dir := filepath.Join(m.home, strconv.Itoa(m.runs))
	cloneTree(t, m.begin, dir)
	return dir
}

// at tells what stands at a path: "old", "new", "" if nothing does, or what else.
func (m *moving) at(t *testing.T, path ...string) string {
	t.Helper()
	dir := filepath.Join(path...)
	if _, err := os.Lstat(dir); err != nil {
		return ""
	}
	return m.which(tree(t, dir))
}

func (m *moving) which(text string) string {
	switch {
	case text == m.old:
		return "old"
	case masked(text) == m.new:
		return "new"
	}
	return "neither:\n" + difference(masked(text), m.new, m.old)
}

// stands judges what a run has left: the token is old or new, whole; a
// configuration of the old format never stands beside a new token, which a login
// would then destroy; and the old token is somewhere.
func (m *moving) stands(t *testing.T, dir string) (token, conf string) {
	t.Helper()
	token = m.at(t, dir, "tok/swtok")
	switch text(t, dir+"/conf") {
	case m.confs["old"]:
		conf = "old"
	case m.confs["new"]:
		conf = "new"
	}
	if token != "old" && token != "new" || conf == "" || token == "new" && conf == "old" {
		t.Errorf("the token is %q, the configuration %q", token, conf)
	}
	if kept := text(t, dir+"/conf_BAK"); kept != "" && kept != m.confs["old"] || conf == "new" && kept == "" {
		t.Errorf("the configuration kept is %q", kept)
	}
	lost := map[string]bool{"old": true, "new": m.undoes}
	for _, place := range []string{"swtok", "swtok_BAK", "swtok_MIGRATED", "swtok_PKCSTOK_MIGRATE_TMP/new", "swtok_PKCSTOK_MIGRATE_TMP/old"} {
		delete(lost, m.at(t, dir, "tok", place))
	}
	if lost["old"] || lost["new"] {
		t.Errorf("nowhere is %v", lost)
	}
	return token, conf
}

// ended checks what stands beside after a run that went through.
func (m *moving) ended(t *testing.T, dir, token, beside string) {
	t.Helper()
	if got, conf := m.stands(t, dir); got != token || conf != token {
		t.Errorf("the token is %s, the configuration %s, want %s", got, conf, token)
	}
	var names []string
	for _, in := range []string{dir, dir + "/tok"} {
		entries, err := os.ReadDir(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	if got := strings.Join(names, " "); got != beside {
		t.Errorf("there stand %s, want %s", got, beside)
	}
}

const (
	besideNew  = "conf conf_BAK tok swtok swtok_BAK"
	besideOld  = "conf tok swtok"
	besideBack = "conf tok swtok swtok_MIGRATED"
)

func (m *moving) undisturbed(t *testing.T, args []string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), m.tokar, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{Exit: cmd.ProcessState.ExitCode(), stderr: stderr.String()}
}

// recovers goes on from what a killed run left: by the same command, or taken
// back, or where a run of undo was stopped, taken forth to its end.
func (m *moving) recovers(t *testing.T, dir string, again bool) {
	t.Helper()
	m.stands(t, dir)
	args, token, beside := m.back(dir), "old", []string{besideOld, besideBack}
	if again && !m.undoes {
		args, token, beside = m.forward(dir), "new", []string{besideNew}
	}
	if o := m.undisturbed(t, args); o.Exit != 0 {
		t.Errorf("the next run: exit code %d: %s", o.Exit, o.stderr)
	}
	if len(beside) > 1 && m.at(t, dir, "tok/swtok_MIGRATED") != "" {
		beside = beside[1:]
	}
	m.ended(t, dir, token, beside[0])
}

// TestKilledMigration kills tokar at its calls while it migrates, and while it
// takes that back.
func TestKilledMigration(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for name, undoes := range map[string]bool{"fips": false, "undo": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMoving(t, r, undoes)
			if !undoes && !*long { // each run derives four keys from PINs
				m.each = 5
			}
			points, news, n := 0, 0, 1
			for ; ; n += m.each {
				dir := m.fresh(t)
				o := m.run(t, dir, at(n, "-kill"), m.args(dir)...)
				if !o.Fired {
					m.ended(t, dir, map[bool]string{false: "new", true: "old"}[undoes], map[bool]string{false: besideNew, true: besideBack}[undoes])
					break
				}
				points++
				if o.Signal != int(unix.SIGKILL) {
					t.Errorf("not killed: %+v", o)
				}
				if token, _ := m.stands(t, dir); token == "new" {
					news++
				}
				m.recovers(t, dir, points%5 == 0 || *long)
				if t.Failed() {
					t.Fatalf("killed at %d, %s %s", n, o.Call, o.Path)
				}
				os.RemoveAll(dir)
			}
			t.Logf("counted: killed at %d of %d points, after %d of them the token was new", points, n-1, news)
			if n < 40 || news == 0 || news == points {
				t.Error("too few")
			}
		})
	}
}

// TestMigrationFaults makes calls fail. A run that does not say that it is done
// leaves the old state, or says that it stopped part-way; then the next goes on.
func TestMigrationFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for name, undoes := range map[string]bool{"fips": false, "undo": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMoving(t, r, undoes)
			all := 0
			for i, f := range faults {
				each := 2 * f.each
				if *long {
					each = 1
				}
				if !undoes && !*long {
					each = []int{19, 23, 41, 43, 61, 61, 61, 47}[i]
				}
				for n := 1; m.fails(t, f, n); n += each {
					all++
				}
			}
			t.Logf("counted: calls failed at %d points", all)
			if all < 30 {
				t.Error("too few")
			}
		})
	}
}

func (m *moving) fails(t *testing.T, f fault, n int) bool {
	dir := m.fresh(t)
	defer os.RemoveAll(dir)
	plan := at(n, "-calls", f.calls+",renameat2,link,linkat", "-fail", unix.ErrnoName(f.errno))
	if f.ever {
		plan = append(plan, "-ever")
	}
	o := m.run(t, dir, plan, m.args(dir)...)
	token, _ := m.stands(t, dir)
	done := map[bool]string{false: "new", true: "old"}[m.undoes]
	switch {
	case o.Exit <= 1 && token != done:
		t.Errorf("exit code %d, and the token is %s", o.Exit, token)
	case o.Exit == 3 && token == done:
		t.Errorf("exit code 3, and the token is %s", token)
	case o.Exit > 1 && o.Exit != 3 && o.Exit != 4:
		t.Errorf("exit code %d", o.Exit)
	case o.Exit > 1 && !strings.Contains(o.stderr, f.errno.Error()):
		t.Error("the cause is not told")
	}
	if o.Exit > 1 && !t.Failed() {
		m.recovers(t, dir, n%5 == 0)
	}
	if t.Failed() {
		t.Fatalf("%s (ever: %v) at %d, %s %s: exit code %d: %s", unix.ErrnoName(f.errno), f.ever, n, o.Call, o.Path, o.Exit, o.stderr)
	}
	return o.Fired
}

// TestPowerLossMigration draws the states in which a disk may be found if the
// power fails while tokar migrates, or takes that back.
func TestPowerLossMigration(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for name, undoes := range map[string]bool{"fips": false, "undo": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMoving(t, r, undoes)
			dir := m.fresh(t)
			before := load(t, dir)
			steps, _ := m.traced(t, dir, m.args(dir)...)
			d := played(t, before, dir, steps, func(step) bool { return true })
			// Of this one run the new token is known, byte for byte.
			exact := tree(t, dir+"/tok/swtok")
			if undoes {
				exact = tree(t, dir+"/tok/swtok_MIGRATED")
			}
			wanted, recovered, n := wantedStates(), 0, 0
			if undoes {
				wanted = 30 // there are few: directories get other names
			}
			different, err := d.states(wanted, func(st state, steps int) error {
				if n++; n%97 == 0 || undoes && n%11 == 0 {
					recovered++
					lost := filepath.Join(m.home, "lost"+strconv.Itoa(n))
					st.write(t, lost)
					if m.recovers(t, lost, recovered%3 == 0); t.Failed() {
						return fmt.Errorf("the next run")
					}
					os.RemoveAll(lost)
				}
				return m.survives(st, exact, steps == d.steps)
			})
			if err != nil {
				t.Error(err)
			}
			t.Logf("counted: power lost in %d states, recovered from %d", different, recovered)
			if !undoes && different < 1000 || recovered < 3 {
				t.Error("too few")
			}
		})
	}
}

// survives judges a state of the disk.
func (m *moving) survives(st state, exact string, done bool) error {
	which := func(path string) string {
		switch n := st.at(path); {
		case n == nil:
			return ""
		case n.tree() == m.old:
			return "old"
		case n.tree() == exact:
			return "new"
		default:
			return "neither:\n" + difference(n.tree(), m.old, exact)
		}
	}
	file := func(path string) []byte {
		if n := st.at(path); n != nil {
			return n.data
		}
		return nil
	}
	token, conf := which("tok/swtok"), file("conf")
	end := "new"
	if m.undoes {
		end = "old"
	}
	isNew := bytes.Equal(conf, []byte(m.confs["new"]))
	switch {
	case token != "old" && token != "new":
		return fmt.Errorf("the token is %s", token)
	case !isNew && string(conf) != m.confs["old"]:
		return fmt.Errorf("the configuration is %q", conf)
	case token == "new" && !isNew:
		return fmt.Errorf("the token is new and the configuration old")
	case done && (token != end || isNew != (end == "new")):
		return fmt.Errorf("it is done, and the token is %s, the configuration %q", token, conf)
	case isNew && string(file("conf_BAK")) != m.confs["old"]:
		return fmt.Errorf("the old configuration is nowhere")
	}
	for _, place := range []string{"swtok", "swtok_BAK", "swtok_MIGRATED", "swtok_PKCSTOK_MIGRATE_TMP/new", "swtok_PKCSTOK_MIGRATE_TMP/old"} {
		if which("tok/"+place) == "old" {
			return nil
		}
	}
	return fmt.Errorf("the old token is nowhere")
}

// TestSwappedMigration puts a symbolic link in the place of a directory or file
// while tokar migrates, or takes that back: nothing is read or written through it.
// The token's own name may be a link, if the operator made it; another's is not
// followed.
func TestSwappedMigration(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for name, undoes := range map[string]bool{"fips": false, "undo": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMoving(t, r, undoes)
			places := []string{"tok/swtok/TOK_OBJ", "tok/swtok/NVTOK.DAT", "tok/swtok_PKCSTOK_MIGRATE_TMP", "tok/.swtok.tokar-new", "conf", ".conf.tokar-new"}
			each := 90
			if undoes {
				places, each = append(places, "tok/swtok_BAK", "tok/swtok_BAK/TOK_OBJ", "tok/swtok_MIGRATED"), 9
			} else {
				places = append(places, "tok/swtok_PKCSTOK_MIGRATE_TMP/new", "tok/swtok_PKCSTOK_MIGRATE_TMP/new/TOK_OBJ")
			}
			if *long {
				each = 1
			}
			points := 0
			for i, place := range places {
				for n := 1 + i*each/len(places); m.swapped(t, place, n); n += each {
					points++
				}
			}
			t.Logf("counted: swapped at %d points", points)
			if points < 15 {
				t.Error("too few")
			}
			m.othersLink(t)
		})
	}
}

// othersLink has a member of the token's group put a link in its place.
func (m *moving) othersLink(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return // who else would make one
	}
	dir := m.fresh(t)
	c := newCanary(t, dir+".canary")
	link := dir + "/tok/swtok"
	if err := errors.Join(os.Rename(link, dir+"/moved"), os.Symlink(c.dir, link), os.Lchown(link, 4711, 4711)); err != nil {
		t.Fatal(err)
	}
	o := m.undisturbed(t, m.args(dir))
	c.unread(t)
	c.unchanged(t)
	if o.Exit != 3 || !strings.Contains(o.stderr, "a link that user 4711 made: it is not followed") {
		t.Errorf("exit code %d: %s", o.Exit, o.stderr)
	}
}

func (m *moving) swapped(t *testing.T, place string, n int) bool {
	dir := m.fresh(t)
	c := newCanary(t, dir+".canary")
	defer os.RemoveAll(dir)
	defer os.RemoveAll(c.dir)
	link := fmt.Sprintf("cd '%s' && { mv '%s' moved 2>/dev/null || :; } && ln -s '%s' '%s' 2>/dev/null || :", dir, place, c.dir, place)
	o := m.run(t, dir, at(n, "-exec", link), m.args(dir)...)
	c.unread(t)
	c.unchanged(t)
	if o.Exit < 0 {
		t.Errorf("exit code %d", o.Exit)
	}
	if t.Failed() {
		t.Fatalf("%s swapped at %d, %s %s: exit code %d: %s", place, n, o.Call, o.Path, o.Exit, o.stderr)
	}
	return o.Fired
}
