package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki"
	"tokar/format"
)

// vaulted is a memory whose odd objects only the PIN "1234" opens: then their
// names are their labels.
type vaulted struct {
	*memory
	t      testing.TB
	mu     sync.Mutex
	opened int
	closed int
	wiped  [][]byte
}

func (m *vaulted) Unlock(t *format.Token, l backends.Logins) backends.Vault {
	if l.User == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	m.wiped = append(m.wiped, l.User)
	return &memVault{m: m, token: t.Name.String(), pin: string(l.User)}
}

func (m *vaulted) inputs(names ...string) []Input {
	in := m.memory.inputs(names...)
	for i := range in {
		in[i].Backend = m
	}
	return in
}

type memVault struct {
	m          *vaulted
	token, pin string
	mu         sync.Mutex
	state      string
	over       bool
}

func (v *memVault) Learn(r *format.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = string(r.Data)
}

func (v *memVault) Examine(r *format.Record) (c backends.Content, found []format.Finding) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.state != "state of "+v.token:
		v.m.t.Errorf("%s/%s is examined before the state is there: %q", v.token, r.Name, v.state)
	case v.over:
		v.m.t.Errorf("%s/%s is examined after the token's end", v.token, r.Name)
	case v.pin == "1234" && string(r.Data) == "broken":
		found = []format.Finding{{Kind: "unopenable", File: r.Name.String(), Offset: -1, Message: "made so"}}
	case v.pin == "1234" && r.Name[len(r.Name)-1]%2 == 1:
		c = backends.Content{Opened: true, Class: 4, Label: bytes.Clone(r.Name)}
	}
	return c, found
}

func (v *memVault) Close() ([]format.Finding, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.closed++
	if v.pin != "1234" {
		return nil, backends.ErrPIN
	}
	return []format.Finding{{Kind: "told", File: "NVTOK.DAT", Offset: -1}}, nil
}

// pinned makes the tokens of a test, and what opens them with a PIN.
func pinned(t testing.TB, pin string, told *[]string, tokens ...*memToken) (*vaulted, *Unlock) {
	m := &vaulted{memory: newMemory(tokens...), t: t}
	return m, &Unlock{
		Logins:  func(*format.Token) backends.Logins { return backends.Logins{User: []byte(pin)} },
		Backend: func(string) (backends.Backend, error) { return m, nil },
		Told: func(tok *format.Token, found []format.Finding, err error) {
			*told = append(*told, fmt.Sprint(tok.Name, " ", len(found), " ", err))
		},
	}
}

// line is what Each is told of an object.
func examinedLine(t *format.Token, r *format.Record) string {
	line := fmt.Sprintf("%s/%s %d %s", t.Name, r.Name, r.Class, r.Details.Label)
	for _, f := range r.Details.Findings {
		line += " " + f.Kind
	}
	return line
}

// TestExamined: whatever the number of workers, every object is examined once
// its token's state is there and before the token's end, by all commands alike,
// and nothing that a PIN shows goes into the archive but findings.
func TestExamined(t *testing.T) {
	names := []string{"one", "two", "three", "none"}
	tokens := func() []*memToken {
		list := []*memToken{madeToken("one", 2000, 40), madeToken("two", 1, 9), madeToken("three", 500, 9000), madeToken("none", 0, 0)}
		list[0].entries[8].data = []byte("broken") // 00000007
		return list
	}
	var first []string
	for _, workers := range []int{1, 2, 8} {
		for _, pin := range []string{"1234", "9999"} {
			var told []string
			m, u := pinned(t, pin, &told, tokens()...)
			lines := map[string][]string{}
			each := func(what string) Each {
				return func(tok *format.Token, r *format.Record) {
					if r.Kind == format.KindObject {
						lines[what] = append(lines[what], examinedLine(tok, r))
					}
				}
			}
			o := archiveOptions()
			o.Workers, o.Each, o.Unlock = workers, each("create"), u
			var out bytes.Buffer
			_, err := Archive(t.Context(), &out, m.inputs(names...), o)
			if err == nil {
				_, err = Check(t.Context(), m.inputs(names...), CheckOptions{Workers: workers, Each: each("check"), Problem: o.Problem, Unlock: u})
			}
			for what, run := range map[string]func(OpenOptions) error{
				"verify": func(o OpenOptions) error { _, err := Verify(t.Context(), stream(out.Bytes()), o); return err },
				"list": func(o OpenOptions) error {
					_, err := List(t.Context(), bytes.NewReader(out.Bytes()), ListOptions{OpenOptions: o, Full: true})
					return err
				},
			} {
				open := opening(restoreKey)
				open.Workers, open.Each, open.Unlock = workers, each(what), u
				err = errors.Join(err, run(open))
			}
			if err != nil {
				t.Fatalf("%d workers: %v", workers, err)
			}
			for _, what := range []string{"check", "verify", "list"} {
				if !slices.Equal(slices.Sorted(slices.Values(lines[what])), slices.Sorted(slices.Values(lines["create"]))) {
					t.Errorf("%d workers, %s: %s tells otherwise than create", workers, pin, what)
				}
			}
			want := 4 * len(names)
			if len(told) != want || m.opened != want || m.closed != want {
				t.Errorf("%d workers, %s: %d tokens told, %d opened, %d closed, not %d", workers, pin, len(told), m.opened, m.closed, want)
			}
			for _, line := range told {
				if strings.Contains(line, backends.ErrPIN.Error()) != (pin != "1234") {
					t.Errorf("%s: %s", pin, line)
				}
			}
			for _, pin := range m.wiped {
				if len(bytes.Trim(pin, "\x00")) > 0 {
					t.Errorf("a PIN stays in memory")
				}
			}
			isBroken := func(l string) bool {
				return strings.HasPrefix(l, "one/00000007 ") && strings.HasSuffix(l, " unopenable")
			}
			if slices.ContainsFunc(lines["check"], isBroken) != (pin == "1234") {
				t.Errorf("%s: the broken object was not named, or without its PIN", pin)
			}
			// What the archive holds is the same whatever the PIN, but for findings.
			var stored []string
			open := opening(restoreKey)
			open.Each = func(tok *format.Token, r *format.Record) {
				if tok != nil && !strings.HasSuffix(r.Name.String(), "00000007") {
					stored = append(stored, fmt.Sprintf("%s/%s %d %d %q %q %x", tok.Name, r.Name, r.Class, r.Flags, r.Details.Label, r.Details.ID, r.Data))
				}
			}
			if _, err := Verify(t.Context(), stream(out.Bytes()), open); err != nil {
				t.Fatal(err)
			}
			slices.Sort(stored)
			if first == nil {
				first = stored
			}
			if !slices.Equal(stored, first) {
				t.Errorf("%d workers, %s: the archive holds something else", workers, pin)
			}
		}
	}
}

// TestExaminedUnderAVerifiersKey is refused, and told from a wrong key.
func TestExaminedUnderAVerifiersKey(t *testing.T) {
	var told []string
	m, u := pinned(t, "1234", &told, madeToken("one", 3, 9))
	b := archive(t, m.memory, archiveOptions(), "one")
	open := opening(verifyKey)
	open.Unlock = u
	if _, err := Verify(t.Context(), stream(b), open); !errors.Is(err, ErrNotRestoring) {
		t.Error(err)
	}
	if _, err := List(t.Context(), bytes.NewReader(b), ListOptions{OpenOptions: open, Full: true}); !errors.Is(err, ErrNotRestoring) {
		t.Error(err)
	}
	open.Unlock = &Unlock{Backend: u.Backend} // no PIN: nothing is asked of it
	if _, err := Verify(t.Context(), stream(b), open); err != nil {
		t.Error(err)
	}
}

// TestExaminedToday: with PINs a comparison opens the objects of today.
func TestExaminedToday(t *testing.T) {
	var told []string
	m, u := pinned(t, "1234", &told, madeToken("one", 300, 20))
	b := archive(t, m.memory, archiveOptions(), "one")
	m.tokens["one"].entries[8].data = []byte("broken")
	lines, err := compareAll(stream(b), m.memory, func(o *CompareOptions) {
		o.Unlock, o.Workers = u, 4
		o.Backend = u.Backend
	})
	if err != nil || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "unopenable 00000007") }) || len(lines) != 3 {
		t.Errorf("%q, %v", lines, err)
	}
	if len(told) != 1 || m.opened != m.closed {
		t.Errorf("%q, %d opened and %d closed", told, m.opened, m.closed)
	}
}

// TestExaminingFails: a run that ends early closes what it opened.
func TestExaminingFails(t *testing.T) {
	for n := range 6 {
		var told []string
		m, u := pinned(t, "1234", &told, madeToken("one", 900, 20), madeToken("two", 900, 20))
		m.tokens["two"].failAt = fmt.Sprintf("%08d", n*150)
		_, err := Check(t.Context(), m.inputs("one", "two"), CheckOptions{Workers: 3, Problem: func(Problem) {}, Unlock: u})
		if err == nil || m.opened != m.closed {
			t.Errorf("%d: %v; %d opened and %d closed", n, err, m.opened, m.closed)
		}
	}
}

// TestNoTryIsCounted is the target S1: no run with a right, a wrong or no PIN
// changes a byte of the token.
func TestNoTryIsCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "swtok")
	if err := os.CopyFS(dir, os.DirFS("../testdata/opencryptoki/swtok-old-small")); err != nil {
		t.Fatal(err)
	}
	digest := func() (all string) {
		for _, name := range []string{"NVTOK.DAT", "MK_SO", "MK_USER", "TOK_OBJ/OBJ.IDX"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			info, serr := os.Stat(filepath.Join(dir, name))
			if err != nil || serr != nil {
				t.Fatal(err, serr)
			}
			all += fmt.Sprintf("%x %v\n", b, info.ModTime())
		}
		return all
	}
	before := digest()
	b := opencryptoki.Backend{}
	found, err := b.Find(t.Context(), dir)
	if err != nil || len(found.Tokens) != 1 {
		t.Fatal(err, found)
	}
	pins := []backends.Logins{
		{User: []byte("01234567")}, {User: []byte("99999999")}, {SO: []byte("76543210")}, {SO: []byte("87654321")}, {},
		{User: []byte("01234567"), SO: []byte("00000000")}, {User: []byte{}}, {User: bytes.Repeat([]byte{'1'}, 5000)},
	}
	wrong := 0
	for i := range 1000 {
		l := pins[i%len(pins)]
		_, err := Check(context.Background(), []Input{{Backend: b, Location: found.Tokens[0]}}, CheckOptions{
			Problem: func(p Problem) { t.Error(p.Err) },
			Unlock: &Unlock{
				Logins: func(*format.Token) backends.Logins {
					return backends.Logins{SO: bytes.Clone(l.SO), User: bytes.Clone(l.User)}
				},
				Told: func(_ *format.Token, found []format.Finding, err error) {
					if len(found) > 0 || !errors.Is(err, backends.ErrPIN) {
						t.Error(found, err)
					}
					wrong++
				},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if after := digest(); after != before || wrong != 625 {
		t.Errorf("the token changed, or of 1000 runs %d had a wrong PIN", wrong)
	}
}
