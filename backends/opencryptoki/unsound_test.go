package opencryptoki

import (
	"os"
	"slices"
	"testing"

	"tokar/backends/opencryptoki/tokendata"
)

// A PIN state that lost a file is not kept.
func TestUnsound(t *testing.T) {
	whole := pinState{}
	for _, name := range []string{nvtokName, soKeyName, userKeyName} {
		b, err := os.ReadFile(fixtureDir + "/swtok-old-small/" + name)
		check(t, err)
		whole[name] = b
	}
	icsf := pinState{nvtokName: slices.Concat(whole[nvtokName], make([]byte, tokendata.ICSFRecord))}
	icsfKeys := pinState{nvtokName: icsf[nvtokName], soKeyName: whole[soKeyName], userKeyName: whole[userKeyName]}
	for _, c := range []struct {
		what           string
		live, archived pinState
		sound          bool
	}{
		{"whole", whole, whole, true},
		{"NVTOK.DAT alone", pinState{nvtokName: whole[nvtokName]}, whole, false},
		{"no NVTOK.DAT", pinState{soKeyName: whole[soKeyName]}, whole, false},
		{"ICSF without keys", icsf, icsf, true},
		{"ICSF that lost its keys", icsf, icsfKeys, false},
		{"ICSF with keys", icsfKeys, icsfKeys, true},
		{"ICSF that got keys", icsfKeys, icsf, true},
	} {
		if reason := unsound(c.live, c.archived); (reason == "") != c.sound {
			t.Errorf("%s: %q", c.what, reason)
		}
	}
}
