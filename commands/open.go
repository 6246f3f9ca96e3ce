package commands

import (
	"github.com/urfave/cli/v2"

	"tokar/format"
	"tokar/stages"
)

// openOptions are what every command that reads an archive has.
type openOptions struct {
	file       string
	identities []format.Identity
	key        string // the flags that give the key again, as a shell takes them
	forget     func() // zeroes the passphrase
	jobs       int
}

func openOptionsOf(s *session, c *cli.Context) (o openOptions, err error) {
	o.file = c.String("file")
	if err = s.claimArchive(o.file); err != nil {
		return o, err
	}
	if o.jobs, err = jobs(s, c); err != nil {
		return o, err
	}
	o.key = keyFlags(c)
	o.identities, o.forget, err = identitiesOf(s, c)
	return o, err
}

// keyFlags are empty where the key cannot be read again, or is one of several.
func keyFlags(c *cli.Context) string {
	files := identityFiles(c)
	switch {
	case len(files) == 0:
		return "-p"
	case len(files) > 1 || files[0] == "-":
		return ""
	}
	if _, numbered := descriptor(files[0]); numbered {
		return ""
	}
	return "-i " + shellWord(pathWord(files[0]))
}

// engine is what the stages take.
func (o openOptions) engine() stages.OpenOptions {
	return stages.OpenOptions{Identities: o.identities, Workers: o.jobs}
}
