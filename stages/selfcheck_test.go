package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"tokar/format"
)

// A tamper flips a bit of what the stage before it made, once.
type tamper struct {
	part int // of the archive's parts, in order of one worker
	bit  int
	of   func(b *Batch) []byte
	seen int
	done bool
}

func (s *tamper) Forward(_ context.Context, b *Batch) error {
	if s.seen++; s.seen == s.part+1 {
		if bytes := s.of(b); s.bit/8 < len(bytes) {
			bytes[s.bit/8] ^= 1 << (s.bit % 8)
			s.done = true
		}
	}
	return nil
}

func (s *tamper) Reverse(context.Context, *Batch) error { return nil }

func lastWrapped(b *Batch) []byte {
	for i := len(b.Records) - 1; i >= 0; i-- {
		if r := &b.Records[i]; r.Flags&format.Wrapped != 0 {
			return r.Payload
		}
	}
	return nil
}

func lastMetadata(b *Batch) []byte {
	for i := len(b.Records) - 1; i >= 0; i-- {
		if m := b.Records[i].Metadata; len(m) > 0 {
			return m
		}
	}
	return nil
}

func lastPublic(b *Batch) []byte {
	for i := len(b.Records) - 1; i >= 0; i-- {
		if r := &b.Records[i]; r.Flags&format.Wrapped == 0 && len(r.Payload) > 0 {
			return r.Payload
		}
	}
	return nil
}

// What memory, or a bug in a compressor, does to a payload that was wrapped,
// to a part between packing and sealing, or between sealing and writing, stops the run, whichever bit it is;
// unless it is one that means nothing, and the archive is whole all the same.
func TestSelfCheck(t *testing.T) {
	tampered := map[string]struct {
		after stage
		of    func(b *Batch) []byte
	}{
		"wrapped":    {&wrap{}, lastWrapped},
		"metadata":   {&mac{}, lastMetadata},
		"public":     {&mac{}, lastPublic},
		"MAC":        {&mac{}, func(b *Batch) []byte { return b.Records[len(b.Records)-1].MAC[:] }},
		"compressed": {&compress{}, func(b *Batch) []byte { return b.body }},
		"sealed":     {&seal{}, func(b *Batch) []byte { return b.Frame }},
	}
	for _, codec := range []format.Codec{format.CodecZstd, format.CodecXZ, format.CodecNone} {
		for what, at := range tampered {
			stride := 911
			switch {
			case *long:
				stride = 1
			case what != "compressed" && what != "sealed": // short ones
				stride = 37
			case testing.Short(), codec == format.CodecXZ: // which takes the longest
				stride = 2903
			}
			flips, meaningless := 0, 0
			for part := range 2 {
				for bit := part; ; bit += stride {
					s := &tamper{part: part, bit: bit, of: at.of}
					b, err := tamperedArchive(s, at.after, codec)
					if !s.done {
						break
					}
					flips++
					switch {
					case err == nil && soundly(b) == nil:
						meaningless++
					case err == nil:
						t.Fatalf("%s, %s, part %d, bit %d: exit without an error: %v", codec, what, part, bit, soundly(b))
					case !errors.Is(err, errSelfCheck):
						t.Fatalf("%s, %s, part %d, bit %d: %v", codec, what, part, bit, err)
					}
				}
			}
			t.Logf("counted: %s, %s: %d bits flipped, of which %d mean nothing", codec, what, flips, meaningless)
			if flips < 4 || meaningless*20 > flips {
				t.Errorf("%d bits, %d of them mean nothing", flips, meaningless)
			}
		}
	}
}

// tamperedArchive puts a tamper after a stage of after's type.
func tamperedArchive(s *tamper, after stage, codec format.Codec) ([]byte, error) {
	o := archiveOptions()
	o.Codec, o.Workers = codec, 1
	o.between = func(all []stage) (more []stage) {
		for _, one := range all {
			more = append(more, one)
			if fmt.Sprintf("%T", one) == fmt.Sprintf("%T", after) {
				more = append(more, s)
			}
		}
		return more
	}
	var out bytes.Buffer
	_, err := Archive(context.Background(), &out, tamperedToken().inputs("one"), o)
	return out.Bytes(), err
}

// tamperedToken takes two parts.
func tamperedToken() *memory { return newMemory(madeToken("one", 258, 20)) }

// soundly says whether an archive has all of the token.
func soundly(b []byte) error {
	m := tamperedToken()
	if _, err := extractAll(b, m, 1); err != nil {
		return err
	}
	for _, e := range m.tokens["one"].entries {
		if !bytes.Equal(m.restored["one"][e.name], e.data) {
			return fmt.Errorf("%s is another", e.name)
		}
	}
	return nil
}

// Without the check the harness finds archives that are not whole: it can fail.
func TestSelfCheckIsNeeded(t *testing.T) {
	o := archiveOptions()
	o.Workers = 1
	o.between = func(all []stage) []stage {
		last := len(all) - 1
		return append(all[:last:last], &tamper{part: 0, bit: 800, of: func(b *Batch) []byte { return b.Frame }})
	}
	var out bytes.Buffer
	if _, err := Archive(t.Context(), &out, tamperedToken().inputs("one"), o); err != nil {
		t.Fatal(err)
	}
	if soundly(out.Bytes()) == nil {
		t.Error("a flipped bit is not seen")
	}
}
