package stages

import (
	"os/exec"
	"testing"
)

// TestVectorsPython lets the independent reader judge every vector: it was
// written from docs/FORMAT.md and shares nothing with this program, so where
// both agree the document says what the bytes are.
func TestVectorsPython(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's, which has the two packages; another may be first on PATH
	if err := exec.Command(python, "-c", "import cryptography, zstandard").Run(); err != nil {
		t.Skip("needs python3-cryptography, python3-zstandard (testdata/peers/peers.sh names the packages)")
	}
	out, err := exec.Command(python, vectorDir+"/reader.py", "judge", vectorDir).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
