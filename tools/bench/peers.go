package main

import (
	"os"
	"os/exec"
	"path/filepath"
)

// peer is a backup program with a repository of its own. A repository is made
// before each create and not measured; it opens with a password from a file,
// and the program's own cost for that (its key derivation) is measured, since
// it has no other way. Caches are below the workspace, and empty at create.
type peer struct {
	name   string
	init   func(repository string) program
	create func(repository string) program
	verify func(repository string) program
	list   func(repository string) program
	one    func(repository string) program
	// restore runs in the new directory and leaves the tree in it as "tree".
	restore func(repository string) program
	b       *bench
}

// peers are those of the two that are here; the others are named.
func (b *bench) peers() (here []peer) {
	password := filepath.Join(b.dir, "password")
	if err := os.WriteFile(password, []byte("measured\n"), 0o600); err != nil {
		panic(err) // the directory is ours, and was just written to
	}
	for name, value := range map[string]string{
		"RESTIC_PASSWORD_FILE": password, "RESTIC_CACHE_DIR": filepath.Join(b.dir, "restic-cache"),
		"BORG_PASSCOMMAND": "cat " + password, "BORG_BASE_DIR": filepath.Join(b.dir, "borg-base"),
		"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "no",
	} {
		os.Setenv(name, value)
	}
	restic := func(words ...string) func(string) program {
		return func(repository string) program { return append(program{"restic", "-q", "-r", repository}, words...) }
	}
	borg := func(command string, words ...string) func(string) program {
		return func(repository string) program {
			return append(program{"borg", command}, replaced(words, repository)...)
		}
	}
	for _, p := range []peer{
		{
			name:   "restic",
			init:   restic("init"),
			create: restic("backup", "tree"), verify: restic("check", "--read-data"),
			list: restic("ls", "latest"), one: restic("dump", "latest", "/tree/"+b.objectFile),
			restore: restic("restore", "latest", "--target", "."),
		},
		{
			name:   "borg",
			init:   borg("init", "-e", "repokey-blake2", "@"),
			create: borg("create", "--compression", "zstd,3", "@::a", "tree"), verify: borg("check", "--verify-data", "@"),
			list: borg("list", "@::a"), one: borg("extract", "--stdout", "@::a", "tree/"+b.objectFile),
			restore: borg("extract", "@::a"),
		},
	} {
		p.b = b
		if _, err := exec.LookPath(p.name); err != nil {
			progress("%s is not here and not measured (testdata/peers/peers.sh)", p.name)
			continue
		}
		here = append(here, p)
	}
	return here
}

// replaced puts the repository where @ stands.
func replaced(words []string, repository string) (all []string) {
	for _, w := range words {
		if w != "" && w[0] == '@' {
			w = repository + w[1:]
		}
		all = append(all, w)
	}
	return all
}

// repository is where the last create went.
func (p peer) repository() string { return p.b.at(p.b.last(p.name)) }

// enter adds the peer to a contest that it can take part in.
func (p peer) enter(c *contest) {
	reading := func(with func(string) program, out string) func() (job, error) {
		return func() (job, error) {
			return job{steps: []pipeline{{with(p.repository())}}, out: out}, nil
		}
	}
	then := func(more func() error) {
		before := c.then
		c.then = func() error {
			if err := before(); err != nil {
				return err
			}
			return more()
		}
	}
	s := side{who: p.name, slow: true}
	switch c.name {
	case create:
		s.job = p.backup
	case verifyBoth:
		s.job = reading(p.verify, "")
	case list:
		s.job = reading(p.list, p.name+".list")
		then(func() error { return p.b.listed(p.name + ".list") })
	case oneObject:
		s.job = reading(p.one, p.name+".object")
		then(func() error { return p.b.sameObject(p.name + ".object") })
	case extract:
		s.job = func() (job, error) {
			dir, err := p.b.fresh("restored-" + p.name)
			return job{steps: []pipeline{{p.restore(p.repository())}, {{"sync", "-f", "."}}}, in: dir}, err
		}
		then(func() error { return p.b.same(filepath.Join(p.b.last("restored-"+p.name), "tree")) })
	default:
		return
	}
	c.sides = append(c.sides, s)
}

func (p peer) backup() (job, error) {
	if _, err := p.b.fresh(p.name); err != nil {
		return job{}, err
	}
	args := p.init(p.repository())
	if err := quietly(args[0], args[1:]...); err != nil {
		return job{}, err
	}
	return job{steps: []pipeline{{p.create(p.repository())}}}, nil
}
