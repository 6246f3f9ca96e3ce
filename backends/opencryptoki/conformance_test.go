package opencryptoki

import (
	"os"
	"path/filepath"
	"testing"

	"tokar/backends/backendtest"
)

func TestConformance(t *testing.T) {
	for _, name := range []string{"swtok-old-small", "swtok-new-small", "ep11tok-be-new-before"} {
		t.Run(name, func(t *testing.T) {
			backendtest.Run(t, Backend{}, func(t *testing.T) string {
				return copyToken(t, filepath.Join(fixtureDir, name), filepath.Join(t.TempDir(), name))
			})
		})
	}
	t.Run("tpm user", func(t *testing.T) {
		backendtest.Run(t, Backend{}, func(t *testing.T) string {
			base := filepath.Join(t.TempDir(), tpmBase)
			check(t, os.Mkdir(base, 0o770))
			return copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(base, "root"))
		})
	})
}
