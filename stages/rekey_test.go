package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tokar/format"
)

// ownSlot is a slot for one of several, which wraps nothing.
type ownSlot struct {
	number format.SlotType
	role   format.Role
	size   int // of what makes it longer
}

func (o ownSlot) slot(keys *format.Keys) format.Slot {
	return format.Slot{Type: 0x7000 + o.number, Role: o.role, Body: append(bytes.Clone(keys.SlotKey(o.role).Secret), make([]byte, o.size)...)}
}

func (o ownSlot) Unwrap(_ context.Context, id [32]byte, all []format.Slot) (format.SlotKey, error) {
	for _, s := range all {
		if s.Type == 0x7000+o.number && s.Role == o.role {
			return format.SlotKey{Role: s.Role, Archive: id, Secret: bytes.Clone(s.Body[:32])}, nil
		}
	}
	return format.SlotKey{}, format.ErrNotForMe
}

// with puts slots behind those that stay.
func with(stay func(format.Slot) bool, added ...ownSlot) func(context.Context, *format.Keys, []format.Slot) ([]format.Slot, error) {
	return func(_ context.Context, keys *format.Keys, now []format.Slot) (all []format.Slot, err error) {
		for _, s := range now {
			if stay(s) {
				all = append(all, s)
			}
		}
		for _, o := range added {
			all = append(all, o.slot(keys))
		}
		return all, nil
	}
}

func every(format.Slot) bool  { return true }
func noSlot(format.Slot) bool { return false }

var another = ownSlot{1, format.RoleRestore, 0}

func rekeyed(t *testing.T, b []byte, id format.Identity, slots func(context.Context, *format.Keys, []format.Slot) ([]format.Slot, error)) ([]byte, *Rekeyed) {
	t.Helper()
	var out bytes.Buffer
	done, err := Rekey(context.Background(), stream(b), &out, RekeyOptions{OpenOptions: opening(id), Slots: slots})
	if err != nil {
		t.Fatal(err)
	}
	if done.Written != uint64(out.Len()) {
		t.Errorf("says %d bytes, wrote %d", done.Written, out.Len())
	}
	if err := done.VerifyWritten(context.Background(), stream(out.Bytes())); err != nil {
		t.Error(err)
	}
	return out.Bytes(), done
}

// framesOf are an archive's frames as they stand.
func framesOf(t *testing.T, b []byte) []byte {
	t.Helper()
	h, err := format.ReadHeader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	footer, err := format.DecodeFooter(b[len(b)-format.FooterSize:])
	if err != nil {
		t.Fatal(err)
	}
	return b[len(h.Bytes()):][:footer.Frames]
}

// Rekeying replaces the slots in both headers and nothing else: whoever has a
// slot reads the same records, whoever lost his reads nothing.
func TestRekey(t *testing.T) {
	m := newMemory(madeToken("one", 700, 300), madeToken("two", 3, 10))
	old := archive(t, m, archiveOptions(), "one", "two")
	verifier := ownSlot{2, format.RoleVerify, 0}
	longer, done := rekeyed(t, old, restoreKey, with(every, ownSlot{1, format.RoleRestore, 40_000}, verifier))
	if done.Generation != 1 || done.LockedOut || !done.Restores {
		t.Errorf("longer: %+v", done)
	}
	shorter, done := rekeyed(t, longer, another, with(noSlot, ownSlot{3, format.RoleRestore, 0}))
	if done.Generation != 2 || !done.LockedOut {
		t.Errorf("shorter: %+v", done)
	}
	if len(longer) <= len(old) || len(shorter) >= len(old) {
		t.Errorf("%d, %d, %d bytes", len(old), len(longer), len(shorter))
	}
	for name, c := range map[string]struct {
		b       []byte
		opens   []format.Identity
		refused []format.Identity
	}{
		"old":     {old, []format.Identity{restoreKey, verifyKey}, []format.Identity{another, verifier}},
		"longer":  {longer, []format.Identity{restoreKey, verifyKey, another, verifier}, nil},
		"shorter": {shorter, []format.Identity{ownSlot{3, format.RoleRestore, 0}}, []format.Identity{restoreKey, verifyKey, another, verifier}},
	} {
		if !bytes.Equal(framesOf(t, c.b), framesOf(t, old)) {
			t.Errorf("%s: other frames", name)
		}
		for i, id := range c.opens {
			s, err := Verify(context.Background(), stream(c.b), opening(id))
			if err != nil || s.Objects != 703 {
				t.Errorf("%s: identity %d: %+v, %v", name, i, s, err)
			}
			if s, err := List(context.Background(), bytes.NewReader(c.b), ListOptions{OpenOptions: opening(id)}); err != nil || s.Objects != 703 {
				t.Errorf("%s: identity %d by the index: %+v, %v", name, i, s, err)
			}
		}
		for i, id := range c.refused {
			if _, err := Verify(context.Background(), stream(c.b), opening(id)); !errors.Is(err, format.ErrNoKey) {
				t.Errorf("%s: lost identity %d: %v", name, i, err)
			}
		}
	}
}

// An older slot section put back is accepted where both headers have it, and
// refused where one has.
func TestRekeyOlderSection(t *testing.T) {
	old := smallArchive(t, format.CodecZstd)
	b, _ := rekeyed(t, old, restoreKey, with(every, another))
	headOf := func(b []byte) []byte {
		h, err := format.ReadHeader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return h.Bytes()
	}
	footer, err := format.DecodeFooter(b[len(b)-format.FooterSize:])
	if err != nil {
		t.Fatal(err)
	}
	put := func(front, end []byte) []byte {
		footer.Header = uint32(len(end))
		return join(front, framesOf(t, b), end, footer.Encode())
	}
	if got := put(headOf(old), headOf(old)); !bytes.Equal(got, old) {
		t.Fatal("the older slot section does not make the older archive")
	}
	for name, b := range map[string][]byte{"front older": put(headOf(old), headOf(b)), "end older": put(headOf(b), headOf(old))} {
		if err := judge(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := List(context.Background(), bytes.NewReader(b), ListOptions{OpenOptions: opening(restoreKey)}); !errors.Is(err, format.ErrMalformed) {
			t.Errorf("%s: by the index: %v", name, err)
		}
		if err := spoiled(b, format.ErrMalformed); err != nil {
			t.Errorf("%s: rekeyed: %v", name, err)
		}
	}
}

// spoiled wants an archive not rekeyed: an error of one class, and what was
// written without a footer and no archive.
func spoiled(b []byte, class error) error {
	var out bytes.Buffer
	_, err := Rekey(context.Background(), stream(b), &out, RekeyOptions{OpenOptions: opening(restoreKey), Slots: with(every, another)})
	switch {
	case refused(err) != nil:
		return refused(err)
	case class != nil && !errors.Is(err, class):
		return err
	case bytes.Contains(out.Bytes(), []byte(format.FooterMagic)):
		return errors.New("it wrote a footer")
	}
	if _, err := VerifyFrames(context.Background(), &out); refused(err) != nil {
		return fmt.Errorf("what it wrote: %w", refused(err))
	}
	return nil
}

func TestRekeyCut(t *testing.T) {
	b := smallArchive(t, format.CodecZstd)
	everywhere(t, len(b), func(n int) error {
		if n == 0 {
			return spoiled(nil, format.ErrNotArchive)
		}
		return spoiled(b[:n], format.ErrTruncated)
	})
	for _, more := range []string{"\x00", "more", string(b)} {
		if err := spoiled(join(b, []byte(more)), format.ErrMalformed); err != nil {
			t.Errorf("%d bytes behind the footer: %v", len(more), err)
		}
	}
}

func TestRekeyEveryBitFlipped(t *testing.T) {
	b := smallArchive(t, format.CodecZstd)
	everywhere(t, 8*len(b), func(i int) error {
		flipped := bytes.Clone(b)
		flipped[i/8] ^= 1 << (i % 8)
		return spoiled(flipped, nil)
	})
}

// What Rekey wrote is read again, and any other bit is seen.
func TestVerifyWritten(t *testing.T) {
	b, done := rekeyed(t, smallArchive(t, format.CodecZstd), restoreKey, with(every, another))
	everywhere(t, 8*len(b), func(i int) error {
		flipped := bytes.Clone(b)
		flipped[i/8] ^= 1 << (i % 8)
		return refused(done.VerifyWritten(context.Background(), stream(flipped)))
	})
	other, _ := rekeyed(t, smallArchive(t, format.CodecZstd), restoreKey, with(every, another))
	if err := done.VerifyWritten(context.Background(), stream(other)); refused(err) != nil {
		t.Error("another archive: ", refused(err))
	}
	done.Written++
	if err := done.VerifyWritten(t.Context(), stream(b)); !errors.Is(err, format.ErrChecksum) || !strings.Contains(err.Error(), "were written") {
		t.Errorf("a byte less than was written: %v", err)
	}
}

// Whatever is wrong with an archive and is not seen without opening its
// records is neither hidden nor made worse.
func TestRekeyVectors(t *testing.T) {
	f := readVectors(t)
	passed, signed := 0, 0
	seen := map[string]bool{"end-proof": true, "end-signature-stripped": true, "signature-moved": true, "signature-namespace": true, "header-mt": true, "header-mm": true, "header-copy-differs": true}
	for _, v := range f.Vectors {
		b := readVector(t, vectorDir, v.Name)
		var out bytes.Buffer
		_, err := Rekey(context.Background(), stream(b), &out, RekeyOptions{
			OpenOptions: opening(f.identity(t, &v, "restore")),
			Slots:       with(every, ownSlot{5, format.RoleRestore, 100}),
		})
		switch {
		case err != nil && v.Expect.Stream == "ok":
			t.Errorf("%s: %v", v.Name, err)
		case err != nil:
			if refused(err) != nil {
				t.Errorf("%s: %v", v.Name, refused(err))
			}
			delete(seen, v.Name)
		case v.Expect.Keyless != "ok":
			t.Errorf("%s: rekeyed, though it is %s without a key", v.Name, v.Expect.Keyless)
		default:
			passed++
			if v.Signers != "" && v.Expect.Stream == "ok" {
				signed++
			}
			if got, _ := f.ways(t, &v, out.Bytes(), 1); got != v.Expect {
				t.Errorf("%s: rekeyed\n got %+v\nwant %+v", v.Name, got, v.Expect)
			}
		}
	}
	t.Logf("%d of %d vectors were rekeyed; of %d a known signer's signature holds on", passed, len(f.Vectors), signed)
	if passed < 20 || signed == 0 || len(seen) > 0 {
		t.Errorf("that is too few, or these are not refused: %v", seen)
	}
}

// Who has two keys and drops the one that restores is told that he only
// verifies from now on.
func TestRekeyLocksOutWhoVerifies(t *testing.T) {
	old := smallArchive(t, format.CodecZstd)
	two, _ := rekeyed(t, old, restoreKey, with(every, another))
	notMine := func(s format.Slot) bool { return s.Type != 0x7777 || s.Role == format.RoleVerify }
	for name, c := range map[string]struct {
		ids       []format.Identity
		lockedOut bool
	}{
		"verifies":      {[]format.Identity{restoreKey, verifyKey}, true},
		"opens nothing": {[]format.Identity{restoreKey}, true},
		"has another":   {[]format.Identity{verifyKey, restoreKey, another}, false},
	} {
		var out bytes.Buffer
		done, err := Rekey(t.Context(), stream(two), &out, RekeyOptions{OpenOptions: OpenOptions{Identities: c.ids}, Slots: with(notMine)})
		if err != nil || done.LockedOut != c.lockedOut {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	stopped := errors.New("no card")
	asked := 0
	_, err := Rekey(t.Context(), stream(two), io.Discard, RekeyOptions{OpenOptions: opening(onceKey{restoreKey, &asked, stopped}), Slots: with(notMine, ownSlot{3, format.RoleRestore, 0})})
	if !errors.Is(err, stopped) || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// onceKey opens a slot once.
type onceKey struct {
	format.Identity
	asked *int
	then  error
}

func (k onceKey) Unwrap(ctx context.Context, id [32]byte, all []format.Slot) (format.SlotKey, error) {
	if *k.asked++; *k.asked > 1 {
		return format.SlotKey{}, k.then
	}
	return k.Identity.Unwrap(ctx, id, all)
}

func TestRekeyRefused(t *testing.T) {
	b := smallArchive(t, format.CodecZstd)
	rekey := func(ctx context.Context, w io.Writer, id format.Identity, slots func(context.Context, *format.Keys, []format.Slot) ([]format.Slot, error)) error {
		_, err := Rekey(ctx, stream(b), w, RekeyOptions{OpenOptions: opening(id), Slots: slots})
		return err
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	failed := errors.New("no slots")
	for name, c := range map[string]struct {
		ctx   context.Context
		id    format.Identity
		slots func(context.Context, *format.Keys, []format.Slot) ([]format.Slot, error)
		is    error
		says  string
	}{
		"a verifier": {t.Context(), verifyKey, with(every, another), format.ErrNoKey, "a verifier's key"},
		"a stranger": {t.Context(), another, with(every, another), format.ErrNoKey, "key slots are"},
		"no slots":   {t.Context(), restoreKey, with(noSlot), nil, "nobody could restore"},
		"no tK":      {t.Context(), restoreKey, with(noSlot, ownSlot{2, format.RoleVerify, 0}), nil, "nobody could restore"},
		"an error": {t.Context(), restoreKey, func(context.Context, *format.Keys, []format.Slot) ([]format.Slot, error) {
			return nil, failed
		}, failed, ""},
		"cancelled": {ended, restoreKey, with(every, another), context.Canceled, ""},
	} {
		var out bytes.Buffer
		err := rekey(c.ctx, &out, c.id, c.slots)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes written", name, err, out.Len())
		}
	}
	if err := rekey(t.Context(), short{}, restoreKey, with(every, another)); err == nil {
		t.Error("a short write: no error")
	}
}

// The rekeyed vectors are one archive: header, end copy and the length of that
// in the footer are all that differs.
func TestRekeyedVectorsShareFrames(t *testing.T) {
	before := readVector(t, vectorDir, "good-rekeyed-before")
	for _, name := range []string{"good-rekeyed", "good-rekeyed-shorter"} {
		after := readVector(t, vectorDir, name)
		if !bytes.Equal(framesOf(t, after), framesOf(t, before)) {
			t.Errorf("%s has other frames", name)
		}
		foot := func(b []byte) []byte { return b[len(b)-format.FooterSize:][:32] }
		if !bytes.Equal(foot(after), foot(before)) {
			t.Errorf("%s: B, directory or end differ in the footer", name)
		}
	}
}
