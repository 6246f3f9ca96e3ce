package all

import "testing"

func TestByKind(t *testing.T) {
	for _, b := range Backends() {
		if got, err := ByKind(b.Kind()); err != nil || got != b {
			t.Errorf("%s: %v, %v", b.Kind(), got, err)
		}
	}
	if _, err := ByKind("softhsm3"); err == nil {
		t.Error("an unknown kind is known")
	}
}
