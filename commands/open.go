package commands

import (
	"github.com/urfave/cli/v2"

	"tokar/format"
	"tokar/format/signature"
	"tokar/stages"
)

// openOptions are what every command that reads an archive has.
type openOptions struct {
	file       string
	identities []format.Identity
	signers    *signature.Signers // one of them must have signed it; nil: nobody need have
	key        string             // the flags that give the key again, as a shell takes them
	forget     func()             // zeroes the passphrase
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
	if o.signers, err = signersOf(s, c); err != nil {
		return o, err
	}
	if list := c.String("signers"); list != "" && o.key != "" {
		o.key += " --signers " + shellWord(pathWord(list))
	}
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
	return stages.OpenOptions{Identities: o.identities, Signers: o.signers, Workers: o.jobs}
}
