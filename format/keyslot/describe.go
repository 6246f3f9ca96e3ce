package keyslot

import (
	"bytes"
	"iter"
	"slices"
	"strings"

	"tokar/format"
)

// Describe says in a word or two who may open a slot: "passphrase", the
// kind of an HPKE key, or the kinds of recipient that an age body is for, such as
// "ssh-ed25519" or the name of a plugin. Nothing in it is proved.
func Describe(slot format.Slot) string {
	if suite := suiteOfBody(slot); suite != nil {
		return suite.title
	}
	if slot.Type != format.SlotAge {
		return slot.Type.String()
	}
	kinds := map[string]string{"X25519": "age X25519", "mlkem768x25519": "age post-quantum"}
	var found []string
	for name := range stanzas(slot.Body) {
		if known := kinds[name]; known != "" {
			name = known
		}
		if !slices.Contains(found, name) && len(found) < 4 {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return slot.Type.String()
	}
	return strings.Join(found, " or ")
}

// stanzas yields the types of an age body's stanzas, but for grease and what is
// too long for a name.
func stanzas(body []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range bytes.Lines(body[:min(len(body), 16<<10)]) {
			stanza, ok := bytes.CutPrefix(line, []byte("-> "))
			if bytes.HasPrefix(line, []byte("---")) {
				return
			}
			words := strings.Fields(string(stanza))
			if !ok || len(words) == 0 || len(words[0]) > 32 || strings.HasSuffix(words[0], "-grease") {
				continue
			}
			if !yield(words[0]) {
				return
			}
		}
	}
}

// strength is how a slot stands against a quantum computer.
type strength int

const (
	symmetric strength = iota // goes with either
	postQuantum
	classical
)

// strengthOf tells a slot's strength by its body. As age counts recipients, what
// does not say that it is post-quantum is classical; so are types that this
// version does not know.
func strengthOf(slot format.Slot) strength {
	switch slot.Type {
	case format.SlotPassphrase:
		return symmetric
	case format.SlotHPKE:
		if suite := suiteOfBody(slot); suite != nil && suite.quantum {
			return postQuantum
		}
	case format.SlotAge:
		found := slices.Collect(stanzas(slot.Body))
		classic := func(name string) bool { return name != "mlkem768x25519" && name != "mlkem768p256tag" }
		if len(found) > 0 && !slices.ContainsFunc(found, classic) {
			return postQuantum
		}
	}
	return classical
}
