package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestPeerKilled lets the real library open the tokens that killed runs leave,
// before anything is cleared up: at every tenth point, and at each where the new
// token stands. It lists the same objects of each old one as of the token
// before, of each new one as of the token that was archived, and signs with
// every key that it lists.
func TestPeerKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	needPeer(t, "pkcsslotd", "pkcsconf", "pkcs11-tool", "openssl", "unshare", "systemd-tmpfiles")
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces of its own")
	}
	r := newRig(t)
	const token, pin = "swtok", "01234567"
	for name, s := range restores(t, r, "swtok new", "swtok over", "swtok single", "swtok repaired") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := t.TempDir() // the session sees no other's memory
			keep := func(from, as string) string {
				cloneTree(t, from, filepath.Join(left, as))
				return filepath.Join(left, as)
			}
			dirs := []string{keep(filepath.Join(s.home, "source", token), "archived")}
			if s.old[token] != "" {
				dirs = append(dirs, keep(filepath.Join(s.begin, token), "before"))
			}
			like := map[string]string{} // each token that was left: which of those it is
			for n, step := 1, 10; ; n += step {
				dir := s.fresh(t)
				if o := s.run(t, dir, at(n, "-kill"), s.into(dir)...); !o.Fired {
					break
				}
				_, new := s.stand(t, dir)
				if new > 0 || *long {
					step = 1
				}
				if s.looks(t, dir, token) != "" {
					kept := keep(filepath.Join(dir, token), strconv.Itoa(n))
					like[kept] = filepath.Join(left, "before")
					if new > 0 {
						like[kept] = dirs[0]
					}
					dirs = append(dirs, kept)
				}
			}
			args := append([]string{"signs", r.tokar, t.TempDir(), pin}, dirs...)
			out, err := exec.Command("testdata/peers/opencryptoki.sh", args...).CombinedOutput()
			if err != nil {
				t.Fatalf("signs: %v\n%s", err, out)
			}
			says := map[string]string{}
			for line := range strings.Lines(string(out)) {
				if word := strings.Fields(line); len(word) == 3 {
					says[word[2]] = word[0] + " objects, signatures: " + word[1]
				}
			}
			if says[dirs[0]] != "5 objects, signatures: 1" {
				t.Errorf("of the archived token the library says %q", says[dirs[0]])
			}
			for kept, is := range like {
				if says[kept] == "" || says[kept] != says[is] {
					t.Errorf("killed at %s: the library shows %q, not %q", filepath.Base(kept), says[kept], says[is])
				}
			}
			t.Logf("counted: the library opened %d tokens", len(like))
			if len(like) < 5 {
				t.Error("too few")
			}
		})
	}
}
