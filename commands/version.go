package commands

import (
	"cmp"
	"crypto/fips140"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/format"
)

// What the Makefile has the linker set: the version, the commit and its day. A
// build without it knows the commit from Go.
var (
	version  = "unknown"
	revision = ""
	released = ""
)

// program is how archives name their writer.
func program() string { return "tokar " + version }

func versionCommand() *command {
	return &command{
		name:     "version",
		summary:  "print the versions of program, archive format and Go",
		synopsis: "[--json]",
		examples: `tokar version
tokar version --json | jq -r .revision`,
		flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "one JSON object, with the commit that tokar was built from if it is known"}},
		run: func(s *session, c *cli.Context) error {
			if len(s.operands) > 0 {
				return usagef(s.name, "version takes no operands")
			}
			b := buildOf()
			if j := s.report.json; j != nil {
				s.report.json = nil // the line says it all; a summary has nothing to add
				j.write(b)
				return nil
			}
			module := ""
			if b.FIPSModule != "latest" {
				module = " (module " + b.FIPSModule + ")"
			}
			s.report.out.line(fmt.Sprintf("%s, archive format %d, %s %s/%s, FIPS 140-3 %s%s",
				program(), b.Format, b.Go, b.OS, b.Arch, b.FIPS, module))
			return nil
		},
	}
}

// jsonVersion says what was built, from what.
type jsonVersion struct {
	jsonHead
	Version    string `json:"version"`
	Format     uint16 `json:"format"` // of archives
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	FIPS       string `json:"fips"`
	FIPSModule string `json:"fips_module"` // version of Go's cryptographic module
	Revision   string `json:"revision,omitempty"`
	Modified   bool   `json:"modified,omitempty"` // … and what was not committed
}

func buildOf() jsonVersion {
	settings := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
	}
	return jsonVersion{
		jsonHead: jsonHead{"version", schema},
		Version:  version, Format: format.Version,
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, FIPS: fipsState(), FIPSModule: fips140.Version(),
		Revision: cmp.Or(revision, settings["vcs.revision"]),
		Modified: settings["vcs.modified"] == "true" || strings.HasSuffix(version, "-dirty"),
	}
}

// fipsState is that of Go's cryptographic module.
func fipsState() string {
	switch {
	case fips140.Enforced():
		return "only"
	case fips140.Enabled():
		return "on"
	}
	return "off"
}
