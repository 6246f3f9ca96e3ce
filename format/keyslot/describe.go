package keyslot

import (
	"bytes"
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
	for line := range bytes.Lines(slot.Body[:min(len(slot.Body), 16<<10)]) {
		stanza, ok := bytes.CutPrefix(line, []byte("-> "))
		if bytes.HasPrefix(line, []byte("---")) {
			break
		}
		words := strings.Fields(string(stanza))
		if !ok || len(words) == 0 || len(words[0]) > 32 || strings.HasSuffix(words[0], "-grease") {
			continue
		}
		name := words[0]
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
