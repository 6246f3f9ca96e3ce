package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"tokar/backends"
	"tokar/format"
	"tokar/format/keyslot"
)

var restoreKey, verifyKey = plainSlot{format.RoleRestore}, plainSlot{format.RoleVerify}

func archiveOptions() ArchiveOptions {
	return ArchiveOptions{
		Slots:   slotsFor([]format.Recipient{restoreKey}, []format.Recipient{verifyKey}),
		Codec:   format.CodecZstd,
		Made:    time.Unix(1700000000, 0),
		Host:    "host7",
		Writer:  "tokar test",
		Problem: func(p Problem) { panic(p.Err) },
	}
}

// slotsFor wraps tK and mK for each, as package keyslot does.
func slotsFor(restore, verify []format.Recipient) func(context.Context, *format.Keys) ([]format.Slot, error) {
	return keyslot.Recipients{Restore: restore, Verify: verify}.Wrap
}

// archive makes an archive of all the memory's tokens that are named.
func archive(t *testing.T, m *memory, o ArchiveOptions, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := Archive(context.Background(), &out, m.inputs(names...), o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func opening(id format.Identity) OpenOptions { return OpenOptions{Identities: []format.Identity{id}} }

func extractAll(b []byte, m *memory, workers int) (*Summary, error) {
	o := ExtractOptions{
		OpenOptions: opening(restoreKey),
		Backend:     func(string) (backends.Backend, error) { return m, nil },
		Place:       func(*format.Token) Place { return Place{Dir: "", Wanted: true, Whole: true} },
		Select:      func(*format.Token, *format.Record) bool { return true },
	}
	o.Workers = workers
	return Extract(context.Background(), stream(b), o)
}

// stream hides that a reader can seek.
func stream(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }

func compareRestored(t *testing.T, m *memory) {
	t.Helper()
	for name, tok := range m.tokens {
		got := m.restored[name]
		want := 0
		for _, e := range tok.entries {
			if !e.gone {
				want++
				if !bytes.Equal(got[e.name], e.data) {
					t.Fatalf("%s/%s: restored %d bytes that differ from its %d", name, e.name, len(got[e.name]), len(e.data))
				}
			}
		}
		if len(got) != want {
			t.Fatalf("%s: %d entries restored, want %d", name, len(got), want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, codec := range []format.Codec{format.CodecZstd, format.CodecXZ, format.CodecNone} {
		for _, workers := range []int{1, 2, 5, 16} {
			t.Run(fmt.Sprint(codec, workers), func(t *testing.T) {
				m := newMemory(madeToken("one", 700, 300), madeToken("two", 3, 10), madeToken("three", 0, 0), madeToken("four", 2000, 50))
				o := archiveOptions()
				o.Codec, o.Workers = codec, workers
				b := archive(t, m, o, "one", "two", "three", "four")
				for _, id := range []plainSlot{restoreKey, verifyKey} {
					s, err := Verify(context.Background(), stream(b), opening(id))
					if err != nil {
						t.Fatal(err)
					}
					if s.Tokens != 4 || s.Objects != 2703 {
						t.Fatalf("verified %+v", s)
					}
				}
				if _, err := VerifyFrames(context.Background(), stream(b)); err != nil {
					t.Fatal(err)
				}
				if _, err := extractAll(b, m, workers); err != nil {
					t.Fatal(err)
				}
				compareRestored(t, m)
				if m.stagings != 0 {
					t.Fatalf("%d stagings left open", m.stagings)
				}
			})
		}
	}
}

// Objects larger than a part go into parts of their own, in order.
func TestLargeObjects(t *testing.T) {
	m := newMemory(madeToken("big", 40, 900<<10), madeToken("huge", 3, 20<<20))
	b := archive(t, m, archiveOptions(), "big", "huge")
	if _, err := extractAll(b, m, 3); err != nil {
		t.Fatal(err)
	}
	compareRestored(t, m)
	var names []string
	for _, e := range m.tokens["big"].entries {
		names = append(names, e.name)
	}
	if fmt.Sprint(m.order["big"]) != fmt.Sprint(names) {
		t.Fatal("entries came in another order than the token's")
	}
}

func TestWrongKey(t *testing.T) {
	m := newMemory(madeToken("one", 5, 10))
	o := archiveOptions()
	o.Slots = slotsFor([]format.Recipient{restoreKey}, nil)
	b := archive(t, m, o, "one")
	if _, err := Verify(context.Background(), stream(b), opening(verifyKey)); !errors.Is(err, format.ErrNoKey) {
		t.Fatal(err)
	}
}

// Whether a passphrase opened nothing, or a key that the archive does not
// commit to, cannot be told from the answer: a slot can be made for many
// passphrases at once, and the answer would say which of them was tried.
func TestPassphraseAnswers(t *testing.T) {
	pass := func(text string) *keyslot.Passphrase {
		p := keyslot.NewPassphrase(func() ([]byte, error) { return []byte(text), nil })
		p.Cost = keyslot.MinCost
		return p
	}
	answer := func(text string, other byte) string {
		o := archiveOptions()
		o.Slots = func(ctx context.Context, k *format.Keys) ([]format.Slot, error) {
			key := k.SlotKey(format.RoleRestore)
			key.Secret = bytes.Clone(key.Secret)
			key.Secret[0] ^= other
			slot, err := pass("right").Wrap(ctx, key)
			return []format.Slot{slot}, err
		}
		b := archive(t, newMemory(madeToken("one", 1, 10)), o, "one")
		_, err := Verify(t.Context(), stream(b), opening(pass(text)))
		if other == 0 && text == "right" {
			return fmt.Sprint(err)
		}
		if !errors.Is(err, format.ErrNoKey) {
			t.Errorf("%s: %v", text, err)
		}
		return err.Error()
	}
	if err := answer("right", 0); err != "<nil>" {
		t.Fatal(err)
	}
	if wrong, other := answer("wrong", 0), answer("right", 1); wrong != other {
		t.Fatalf("%q, but %q", wrong, other)
	}
}

// A failing read stops the run, names the object, and leaves no goroutine
// waiting.
func TestReadError(t *testing.T) {
	tok := madeToken("one", 3000, 100)
	tok.failAt = "00001500"
	m := newMemory(tok)
	_, err := Archive(context.Background(), io.Discard, m.inputs("one"), archiveOptions())
	if err == nil || err.Error() != "one/00001500: made to fail" {
		t.Fatal(err)
	}
}

// A token that cannot be listed, or not again, and keys that cannot be made end
// a create, and no token is left open. One that cannot be opened is told of, and
// the others are archived.
func TestCreateFails(t *testing.T) {
	for _, step := range []string{"list two", "recheck two"} {
		m := newMemory(madeToken("one", 5, 10), madeToken("two", 5, 10))
		m.fails = map[string]error{step: errDisk}
		_, err := Archive(t.Context(), io.Discard, m.inputs("one", "two"), archiveOptions())
		if !errors.Is(err, errDisk) || m.open != 0 {
			t.Errorf("%s: %v, %d tokens left open", step, err, m.open)
		}
	}
	m := newMemory(madeToken("one", 5, 10), madeToken("two", 5, 10))
	m.fails = map[string]error{"open two": errDisk}
	o := archiveOptions()
	var problems []Problem
	o.Problem = func(p Problem) { problems = append(problems, p) }
	b := archive(t, m, o, "two", "one")
	if len(problems) != 1 || !errors.Is(problems[0].Err, errDisk) || problems[0].Location.Path != "two" {
		t.Errorf("open two: told %+v", problems)
	}
	if s, err := Verify(t.Context(), stream(b), opening(restoreKey)); err != nil || s.Tokens != 1 || s.Objects != 5 {
		t.Errorf("open two: %+v, %v", s, err)
	}
	for name, change := range map[string]func(*ArchiveOptions){
		"keys": func(o *ArchiveOptions) { o.Keys = func() (*format.Keys, error) { return nil, errDisk } },
		"slots": func(o *ArchiveOptions) {
			o.Slots = func(context.Context, *format.Keys) ([]format.Slot, error) { return nil, errDisk }
		},
	} {
		m := newMemory(madeToken("one", 5, 10))
		o := archiveOptions()
		change(&o)
		var out bytes.Buffer
		if _, err := Archive(t.Context(), &out, m.inputs("one"), o); !errors.Is(err, errDisk) || out.Len() > 0 || m.open != 0 {
			t.Errorf("%s: %v, %d bytes written, %d tokens left open", name, err, out.Len(), m.open)
		}
	}
}

// A writer that takes less than it was given and says nothing does not make an
// archive with a hole.
func TestShortWrite(t *testing.T) {
	m := newMemory(madeToken("one", 5, 100))
	_, err := Archive(t.Context(), short{}, m.inputs("one"), archiveOptions())
	if !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("create: %v", err)
	}
	b := archive(t, m, archiveOptions(), "one")
	for _, r := range []io.Reader{bytes.NewReader(b), stream(b)} {
		if _, err := Cat(t.Context(), r, []string{"one/00000001"}, opening(restoreKey), short{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("cat: %v", err)
		}
	}
}

// A disk that fails at any write ends a create with its error, and a rekey; the
// summary counts what was taken.
func TestOutputFailsAnywhere(t *testing.T) {
	m := newMemory(madeToken("one", 3000, 40), madeToken("two", 300, 300))
	old := archive(t, m, archiveOptions(), "one", "two")
	fired := 0
	for n := 0; ; n++ {
		w := &failsAfter{n}
		sum, err := Archive(t.Context(), w, m.inputs("one", "two"), archiveOptions())
		if w.left > 0 {
			if err != nil {
				t.Errorf("with writes to spare: %v", err)
			}
			break
		}
		if err == nil && w.left == 0 {
			continue // the last one is done
		}
		fired++
		if !errors.Is(err, errDisk) || m.open != 0 {
			t.Errorf("write %d: %v, %+v, %d tokens left open", n, err, sum, m.open)
		}
	}
	if t.Logf("counted: %d writes", fired); fired < 10 {
		t.Error("too few")
	}
	for n := range 2 {
		_, err := Rekey(t.Context(), stream(old), &failsAfter{n}, RekeyOptions{OpenOptions: opening(restoreKey), Slots: with(every, another)})
		if !errors.Is(err, errDisk) {
			t.Errorf("rekey, write %d: %v", n, err)
		}
	}
}

// failsAfter takes so many writes.
type failsAfter struct{ left int }

func (w *failsAfter) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errDisk
	}
	return len(b), nil
}

type short struct{}

func (short) Write(b []byte) (int, error) { return len(b) / 2, nil }

func TestChangedWhileRead(t *testing.T) {
	tok := madeToken("one", 600, 100)
	tok.changed = []backends.Entry{
		{Kind: format.KindObject, Name: format.Name("00000003"), Place: 4},
		{Kind: format.KindObject, Name: format.Name("00000005"), Place: 6},
	}
	tok.again = map[string][]byte{"00000003": []byte("new content"), "00000005": nil}
	m := newMemory(tok)
	var out bytes.Buffer
	s, err := Archive(context.Background(), &out, m.inputs("one"), archiveOptions())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Unstable) != 1 {
		t.Fatal("the token was not found unstable")
	}
	if _, err := extractAll(out.Bytes(), m, 4); err != nil {
		t.Fatal(err)
	}
	if got := m.restored["one"]["00000003"]; string(got) != "new content" {
		t.Fatalf("restored %q", got)
	}
	if _, there := m.restored["one"]["00000005"]; there {
		t.Fatal("an object that vanished was restored")
	}
	var seen int
	o := ListOptions{OpenOptions: opening(restoreKey)}
	o.Each = func(_ *format.Token, r *format.Record) {
		if r.Name.String() == "00000003" {
			seen++
		}
	}
	if _, err := List(context.Background(), bytes.NewReader(out.Bytes()), o); err != nil {
		t.Fatal(err)
	}
	if seen != 1 {
		t.Fatalf("a superseded record is listed: %d", seen)
	}
}

// An object that is gone when it is read and there again later, and one that is
// gone both times: the token's end counts what stands.
func TestVanishedAndBack(t *testing.T) {
	tok := madeToken("one", 20, 100)
	tok.entries[4].data, tok.entries[8].data = nil, nil
	tok.changed = []backends.Entry{
		{Kind: format.KindObject, Name: format.Name("00000003"), Place: 4},
		{Kind: format.KindObject, Name: format.Name("00000007"), Place: 8},
	}
	tok.again = map[string][]byte{"00000003": []byte("back again")}
	m := newMemory(tok)
	b := archive(t, m, archiveOptions(), "one")
	if _, err := extractAll(b, m, 3); err != nil {
		t.Fatal(err)
	}
	if got := m.restored["one"]["00000003"]; string(got) != "back again" || len(m.restored["one"]) != 20 {
		t.Fatalf("restored %q, %d entries", got, len(m.restored["one"]))
	}
}

// What is larger than a record may be is left out and named; the run goes on.
func TestTooLargeAnEntry(t *testing.T) {
	tok := madeToken("one", 5, 100)
	tok.entries[3].data = make([]byte, format.MaxObject+1)
	m := newMemory(tok)
	o := archiveOptions()
	var named []format.Finding
	o.Each = func(_ *format.Token, r *format.Record) { named = append(named, r.Details.Findings...) }
	b := archive(t, m, o, "one")
	if len(named) != 1 || named[0].Kind != "too-large" || named[0].File != "00000002" {
		t.Fatalf("findings %+v", named)
	}
	s, err := extractAll(b, m, 2)
	if err != nil || s.Left != 1 || len(m.restored["one"]) != 5 {
		t.Fatalf("%+v, %d entries restored: %v", s, len(m.restored["one"]), err)
	}
}

// A token that has no entries is restored as one.
func TestTokenWithoutEntries(t *testing.T) {
	m := newMemory(&memToken{name: "empty"})
	b := archive(t, m, archiveOptions(), "empty")
	if _, err := extractAll(b, m, 2); err != nil {
		t.Fatal(err)
	}
	if _, there := m.restored["empty"]; !there {
		t.Fatal("it is not there")
	}
}

// Large details beside a large object do not make a part that no reader takes.
func TestDetailsBesideALargeObject(t *testing.T) {
	tok := madeToken("one", 253, 4144)
	for i := range tok.entries {
		tok.entries[i].label = bytes.Repeat([]byte{'x'}, 4120)
	}
	tok.entries[253].data = make([]byte, 6_290_000)
	m := newMemory(tok)
	b := archive(t, m, archiveOptions(), "one")
	if _, err := extractAll(b, m, 2); err != nil {
		t.Fatal(err)
	}
	compareRestored(t, m)
}

// Thousands of tokens are not all open at once.
func TestFewTokensOpenAtOnce(t *testing.T) {
	m := newMemory()
	var names []string
	for i := range 3000 {
		names = append(names, fmt.Sprintf("token%04d", i))
		m.tokens[names[i]] = madeToken(names[i], 0, 0)
	}
	b := archive(t, m, archiveOptions(), names...)
	if m.mostOpen > openTokens {
		t.Errorf("%d tokens were open at once", m.mostOpen)
	}
	if s, err := Verify(t.Context(), stream(b), opening(restoreKey)); err != nil || s.Tokens != 3000 {
		t.Fatalf("%+v: %v", s, err)
	}
}

func TestListAndCat(t *testing.T) {
	m := newMemory(madeToken("one", 5000, 100), madeToken("tpm/two", 10, 10))
	b := archive(t, m, archiveOptions(), "one", "tpm/two")
	var fromIndex, fromStream []string
	line := func(to *[]string) Each {
		return func(t *format.Token, r *format.Record) {
			if !r.Kind.Descriptor() {
				*to = append(*to, t.Name.String()+"/"+r.Name.String())
			}
		}
	}
	o := ListOptions{OpenOptions: opening(restoreKey)}
	o.Each = line(&fromIndex)
	if _, err := List(context.Background(), bytes.NewReader(b), o); err != nil {
		t.Fatal(err)
	}
	o.Each = line(&fromStream)
	if _, err := List(context.Background(), stream(b), o); err != nil {
		t.Fatal(err)
	}
	if len(fromIndex) != 5012 || fmt.Sprint(fromIndex) != fmt.Sprint(fromStream) {
		t.Fatalf("%d entries by the index, %d from the stream", len(fromIndex), len(fromStream))
	}
	for _, r := range []io.Reader{bytes.NewReader(b), stream(b)} {
		var out bytes.Buffer
		var told []string
		o := opening(restoreKey)
		o.Each = line(&told)
		if _, err := Cat(context.Background(), r, []string{"tpm/two/00000003", "one/00004999"}, o, &out); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(told) != "[tpm/two/00000003 one/00004999]" {
			t.Errorf("cat tells of %q", told)
		}
		want := string(m.tokens["tpm/two"].entries[4].data) + string(m.tokens["one"].entries[5000].data)
		if out.String() != want {
			t.Fatal("cat gives other bytes")
		}
		var missing *NotFoundError
		if _, err := Cat(context.Background(), bytes.NewReader(b), []string{"one/nothing"}, opening(restoreKey), &out); !errors.As(err, &missing) {
			t.Fatal(err)
		}
	}
	if _, err := Cat(context.Background(), bytes.NewReader(b), []string{"one/00000001"}, opening(verifyKey), io.Discard); !errors.Is(err, format.ErrNoKey) {
		t.Fatalf("a verifier's key opens a wrapped payload: %v", err)
	}
}

// A path may name several entries: of two kinds, or of two tokens. cat gives the
// same one from a stream as by the index, whatever came first and whatever was
// read again or was not there.
func TestCatOfAmbiguousNames(t *testing.T) {
	entry := func(name string, kind format.Kind, data string) memEntry {
		e := memEntry{name: strings.ReplaceAll(name, "/", "\x00"), kind: kind, data: []byte(data)}
		if data == "" {
			e.data = nil
		}
		return e
	}
	long := &memToken{name: "a/b", entries: []memEntry{entry("c", format.KindObject, "c of a/b")}}
	short := &memToken{name: "a", entries: []memEntry{
		entry("b/c", format.KindForeign, "b/c of a"),
		entry("1", format.KindForeign, "foreign 1"),
		entry("1", format.KindObject, "object 1"),
		entry("2", format.KindObject, "object 2"),
		entry("2", format.KindForeign, "foreign 2"),
		entry("3", format.KindObject, "object 3"),
		entry("3", format.KindForeign, ""),
		entry("4", format.KindObject, ""),
		entry("4", format.KindForeign, "foreign 4"),
		entry("5", format.KindObject, "object 5"),
	}}
	short.again = map[string][]byte{"2": []byte("foreign 2 again"), "5": nil}
	short.changed = []backends.Entry{
		{Kind: format.KindForeign, Name: format.Name("2"), Place: 4},
		{Kind: format.KindObject, Name: format.Name("5"), Place: 9},
	}
	m := newMemory(long, short)
	for _, names := range [][]string{{"a", "a/b"}, {"a/b", "a"}} {
		b := archive(t, m, archiveOptions(), names...)
		for name, want := range map[string]string{
			"a/b/c": "b/c of a", "a/1": "object 1", "a/2": "object 2", "a/3": "object 3",
			"a/4": "", "a/5": "", // gone: what is left of the name is something else
		} {
			for how, r := range map[string]io.Reader{"index": bytes.NewReader(b), "stream": stream(b)} {
				var out bytes.Buffer
				_, err := Cat(t.Context(), r, []string{name}, opening(restoreKey), &out)
				var missing *NotFoundError
				if out.String() != want || err != nil && !(want == "" && errors.As(err, &missing)) {
					t.Errorf("%s by %s: %q, %v; want %q", name, how, out.String(), err, want)
				}
			}
		}
	}
}

// A token's end is not lost at any number of entries, however they fill the
// batches.
func TestEveryNumberOfEntries(t *testing.T) {
	for n := batchEntries - 10; n < batchEntries+10; n++ {
		m := newMemory(madeToken("one", n, 10), madeToken("two", 2*batchEntries-n, 10))
		o := archiveOptions()
		o.Workers = 1 + n%3
		for _, names := range [][]string{{"one"}, {"one", "two"}, {"two", "one"}} {
			b := archive(t, m, o, names...)
			if s, err := Verify(context.Background(), stream(b), opening(restoreKey)); err != nil || int(s.Tokens) != len(names) {
				t.Fatalf("%d entries: %+v: %v", n, s, err)
			}
		}
	}
}
