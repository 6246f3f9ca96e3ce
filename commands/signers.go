package commands

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/format/signature"
	"tokar/stages"
)

// signFlags say who signs a new archive.
func signFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "sign", Usage: "sign the archive with the SSH key in `FILE`: a private one, or the public one of a key that ssh-agent holds"},
		&cli.StringFlag{Name: "sign-passphrase", Usage: "… whose passphrase comes from `SOURCE`: file:PATH, fd:N or env:NAME"},
	}
}

// signersFlags say who must have signed an archive.
func signersFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "signers", Usage: "only an archive that somebody in `FILE` signed: allowed_signers, as of ssh-keygen (TOKAR_SIGNERS)"},
		&cli.StringFlag{Name: "verify-time", Usage: "… with a key that is valid at `TIME`, not now: YYYYMMDD or YYYYMMDDHHMM[SS], with Z for UTC"},
	}
}

// signersOf reads who must have signed; nil: nobody need have.
func signersOf(s *session, c *cli.Context) (*signature.Signers, error) {
	path := c.String("signers")
	if path == "" {
		path = os.Getenv("TOKAR_SIGNERS")
	}
	at := c.String("verify-time")
	switch {
	case path == "" && at != "":
		return nil, usagef(s.name, "--verify-time is for the keys in --signers FILE")
	case path == "":
		return nil, nil
	}
	f, err := s.open(path, "the list of signers")
	if err != nil {
		return nil, noKeyFile("--signers", path, err)
	}
	defer f.Close()
	signers, err := signature.ParseSigners(s.patient(f), quote(path), func(line int, why error) {
		s.report.warn("%s: line %d lists nobody: %s", quote(path), line, escape(why.Error()))
	})
	if err != nil {
		return nil, usagef(s.name, "--signers %w", err)
	}
	if at != "" {
		if signers.At, err = signature.ParseTime(at); err != nil {
			return nil, usagef(s.name, "--verify-time %w", err)
		}
	}
	return signers, nil
}

// signKeyOf reads the key that signs a new archive, and shows that it can; nil:
// it is not signed.
func signKeyOf(s *session, c *cli.Context) (*signature.Key, error) {
	path, source, err := c.String("sign"), fromPrompt, error(nil)
	if text := c.String("sign-passphrase"); text != "" {
		source, err = s.parseSource("sign-passphrase", text)
	}
	switch other := secretSource(c.String("passphrase")); {
	case err != nil:
		return nil, err
	case path == "" && source != fromPrompt:
		return nil, usagef(s.name, "--sign-passphrase is for the key in --sign FILE")
	case path == "":
		return nil, nil
	case source.sameStream(other):
		return nil, usagef(s.name, "%s gives one secret; --passphrase and --sign-passphrase cannot both come from it", quote(string(other)))
	}
	f, err := s.open(path, "the signing key")
	if err != nil {
		return nil, noKeyFile("--sign", path, err)
	}
	defer f.Close()
	key, err := signature.ReadKey(s.ctx, s.patient(f), signature.Source{
		Name:       quote(path),
		Passphrase: func() ([]byte, error) { return signPassphrase(s, source, path) },
		Agent:      os.Getenv("SSH_AUTH_SOCK"),
	})
	if err == nil && !key.InAgent() {
		s.warnIfReadable(f, path)
	}
	if f := (*failure)(nil); err == nil || errors.As(err, &f) || errors.Is(err, signature.ErrPassphrase) || s.ctx.Err() != nil {
		return key, err
	}
	return nil, usagef(s.name, "--sign %w", err)
}

func signPassphrase(s *session, source secretSource, path string) ([]byte, error) {
	secret, err := source.read(s, "the passphrase of "+quote(path), false)
	if f := (*failure)(nil); errors.As(err, &f) && f.todo == otherSources(s.name) {
		err = &failure{code: f.code, err: f.err, todo: strings.Replace(f.todo, "--passphrase", "--sign-passphrase", 1)}
	}
	return secret, err
}

// stream is the descriptor that a secret comes from, if it comes from one.
func (src secretSource) stream() (int, bool) {
	kind, value, _ := strings.Cut(string(src), ":")
	switch kind {
	case "file":
		return descriptor(value)
	case "fd":
		n, err := strconv.Atoi(value)
		return n, err == nil
	}
	return 0, false
}

func (src secretSource) sameStream(other secretSource) bool {
	a, isStream := src.stream()
	b, otherIs := other.stream()
	return isStream && otherIs && a == b
}

// signedBy says whose signature an archive has; empty if it has none.
func signedBy(sum *stages.Summary) string {
	switch {
	case sum.SignedBy == nil:
		return ""
	case len(sum.Signers) > 0 && !sum.JudgedAt.IsZero():
		return fmt.Sprintf("signed by %s (%s), judged as of %s", quoteAll(sum.Signers), sum.SignedBy, sum.JudgedAt.UTC().Format("2006-01-02T15:04:05Z"))
	case len(sum.Signers) > 0:
		return fmt.Sprintf("signed by %s (%s)", quoteAll(sum.Signers), sum.SignedBy)
	}
	return fmt.Sprintf("signed with %s; --signers FILE asks whose key that is", sum.SignedBy)
}

// tellSigner says it with -v.
func (s *session) tellSigner(sum *stages.Summary) {
	if by := signedBy(sum); by != "" && s.report.json == nil {
		s.report.detail("%s", by)
	}
}

// signed takes over what is known of the signature.
func (sum *jsonSummary) signed(s *stages.Summary) {
	if s.SignedBy == nil {
		return
	}
	trusted := len(s.Signers) > 0
	sum.SignedBy, sum.SignerKey, sum.Signers, sum.Trusted = s.SignedBy.Fingerprint, s.SignedBy.KeyType, s.Signers, &trusted
}

// refused takes over from an error who signed and does not count. What another
// error leaves of a signature is not proved.
func (sum *jsonSummary) refused(err error) {
	var unknown *signature.UnknownError
	sum.SignedBy, sum.SignerKey, sum.Signers, sum.Trusted = "", "", nil, nil
	if errors.As(err, &unknown) {
		sum.signed(&stages.Summary{SignedBy: unknown.Signature})
	}
}
