package commands

import (
	"embed"
	"strings"

	"github.com/urfave/cli/v2"
)

//go:embed completion
var completionScripts embed.FS

// shellNames are the shells that tokar has a script for.
var shellNames = []string{"bash", "fish", "zsh"}

func completionCommand() *command {
	return &command{
		name:     "completion",
		summary:  "print the script that completes tokar's words in a shell",
		synopsis: "bash|zsh|fish",
		examples: `source <(tokar completion bash)
tokar completion zsh > ~/.zsh/completions/_tokar
tokar completion fish > ~/.config/fish/completions/tokar.fish`,
		text: `Packages and "make install" put the scripts where the shells look. Commands,
flags, files, and the tokens in a directory are completed; the objects in an
archive, with -f FILE before them, if -i or TOKAR_IDENTITY names a key that
needs no passphrase and no plugin. Nothing is ever asked for.`,
		run: func(s *session, c *cli.Context) error {
			if len(s.operands) != 1 {
				return usagef(s.name, "name one shell: %s", strings.Join(shellNames, ", "))
			}
			shell := s.operands[0].text
			script, err := completionScripts.ReadFile("completion/tokar." + shell)
			if err != nil {
				return usagef(s.name, "no script for %s; there are %s", quote(shell), strings.Join(shellNames, ", "))
			}
			s.report.out.line(strings.TrimSuffix(string(script), "\n"))
			return nil
		},
	}
}
