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
	o.identities, o.forget, err = identitiesOf(s, c)
	return o, err
}

// engine is what the stages take.
func (o openOptions) engine() stages.OpenOptions {
	return stages.OpenOptions{Identities: o.identities, Workers: o.jobs}
}
