package commands

import (
	"strings"
	"testing"
)

// The examples of each help text run as they are written.
func TestHelpExamples(t *testing.T) {
	p := prepared{before: archived + "; cp host7.tokar backup.tokar\n" +
		"for d in . $W/mnt/a $W/mnt/b; do mkdir -p $d dir; cp -rp swtok $d/icatok; done\n" +
		"cp -rp swtok $W/mnt/a; cp -rp swtok $W/mnt/b; cp -rp swtok $W/mnt/copy\n" +
		"[ -e $W/.ssh/id_ed25519 ] || { mkdir -p $W/.ssh; ssh-keygen -q -t ed25519 -N '' -f $W/.ssh/id_ed25519; }\n" +
		"mkdir -p $W/.zsh/completions $W/.config/fish/completions\n" +
		"printf 01234567 >user.pin; printf 76543210 >so.pin; chmod 600 *.pin\n" +
		"cp restore.key.pub escrow.key.pub; cp host7.tokar $W/bucket\n",
		at: map[string]string{
			"tokar x":        "rm -rf dir/*.tokar-old",
			"tokar keygen":   "mkdir -p kept; mv *.key *.pub kept",
			"-i ":            "cp kept/* . 2>/dev/null; cp $W/vault/host7.tokar backup.tokar",
			"--salvage":      "cp $W/vault/host7.tokar damaged.tokar",
			"-R ":            "cp kept/* . 2>/dev/null",
			"tokar rekey -p": "tokar create -q -p -f backup.tokar swtok",
		},
	}
	for _, c := range table() {
		if c.examples == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			examples(t, p, c.examples)
		})
	}
	t.Run("overview", func(t *testing.T) {
		t.Parallel()
		typed := ""
		for line := range strings.Lines(overview(table())) {
			if command, ok := strings.CutPrefix(line, "  tokar "); ok && !strings.Contains(command, "…") {
				typed += "tokar " + command
			}
		}
		if typed == "" {
			t.Fatal("it has no examples")
		}
		examples(t, p, typed)
	})
}

func examples(t *testing.T, p prepared, lines string) {
	w, steps := newWorld(t), []step{}
	for line := range strings.Lines(lines) {
		steps = append(steps, step{typed: strings.TrimSpace(line)})
	}
	for i, got := range w.run(t, p, steps) {
		steps[i].judge(t, w, got, false)
	}
}
