// Package backends is the contract between the stages and the kinds of token.
// A backend knows where tokens of its kind live and in which form; it knows
// nothing of archives. Each kind is a package of its own below this one;
// package all lists them.
package backends

import (
	"context"
	"errors"
	"iter"

	"tokar/format"
)

// ErrExists: something is in the way where a token is to be restored.
var ErrExists = errors.New("already exists")

// ErrBusy: another process is at work on the same token.
var ErrBusy = errors.New("another tokar is at work on it")

// ErrInUse: programs use the token, or may begin to at any moment.
var ErrInUse = errors.New("in use")

// ErrLocked: a program did not give a token's lock back in time.
var ErrLocked = errors.New("locked")

// ErrOther: what stands in the place is another token.
var ErrOther = errors.New("another token")

// ErrUnknown: what stands in the place may be the same token or another.
var ErrUnknown = errors.New("it cannot be told whether it is the same token")

// ErrNotKept: the PINs of today cannot be kept.
var ErrNotKept = errors.New("the PINs of today cannot be kept")

// ErrLacking: what would take a token's place lacks a part of its PIN state.
var ErrLacking = errors.New("nobody could log in to it")

// ErrOldCopy: the old token of an earlier restore is still kept.
var ErrOldCopy = errors.New("an earlier restore's old copy is there")

// ErrNoToken: no token stands where one is to be mended.
var ErrNoToken = errors.New("no token is there")

// ErrPIN: a PIN given for a token is not the token's.
var ErrPIN = errors.New("wrong PIN")

// ErrNeedsPIN: what is to be done takes a PIN that was not given.
var ErrNeedsPIN = errors.New("that takes a PIN")

// ErrPartway: the token is not as it was before, and the run failed all the
// same. The next run for it clears up.
var ErrPartway = errors.New("stopped part-way")

// ErrBadName: an archive carries a name that this kind of token cannot have.
var ErrBadName = errors.New("a name that no such token has")

// Backend is one kind of token.
type Backend interface {
	// Kind is the name that archives record, such as "opencryptoki".
	Kind() string
	// Find looks for tokens at path or below it, and opens none.
	Find(ctx context.Context, path string) (Found, error)
	// Open prepares to read the token at loc. The caller closes it.
	Open(ctx context.Context, loc Location) (Token, error)
	// Validator checks entries of t by their bytes alone. It is used from one
	// goroutine; each worker asks for its own.
	Validator(t *format.Token) (Validator, error)
	// Advice says what to do about a finding of this kind on what it is about, or
	// nothing.
	Advice(kind string, about Subject) string
	// Restore begins to build t below the directory dir, beside what is there.
	// With o.DryRun the staging place makes nothing, and its Finish tells what
	// would be.
	Restore(ctx context.Context, dir string, t *format.Token, o RestoreOptions) (Staging, error)
}

// A Subject is what a finding is about. What is not known is zero.
type Subject struct {
	Token    *format.Token
	Kind     format.Kind // of the entry
	Name     string      // the entry's, below the token
	Private  bool        // marked so
	Repaired bool        // the finding is what was left when the token was repaired
}

// Location is a token that Find saw: where it is and what to call it.
type Location struct {
	Kind string      // the backend's
	Name format.Name // as archives record it
	Path string      // as the operator named it, or what is above it
	Real string      // the same without links, when Find looked; Open follows none

	Reading Reading
}

// Reading says how a token is read that programs may be using. The zero value
// takes its lock where tokens of its kind have it.
type Reading struct {
	Locks   string // the directory of the locks, where it is another
	NoLock  bool   // take none; what changes meanwhile is read again
	PEMs    string // the directory of the PEM files of a TPM token that are kept off the disk
	Listing bool   // only its list is wanted: take no lock, read no entry
}

// Found is what Find saw at a path.
type Found struct {
	Tokens []Location // in order of their names
	Passed []Passed   // what is no token, with the reason
}

// Passed is a place that Find came to and left.
type Passed struct {
	Path   string
	Reason string
	Hidden bool // a token may be there: a link, a place that cannot be looked at, one that lost a file
	Absent bool // a configuration names it, and nothing is there
	NoSlot bool // a token is there, and the configuration does not name it
}

// Token is one token, open for reading.
type Token interface {
	// Info describes it; the caller does not change it.
	Info() *format.Token
	// Entries lists what the token holds, cheaply and in a fixed order. It is
	// called once. An error ends the list and the run.
	Entries(ctx context.Context) iter.Seq2[Entry, error]
	// Read fills r.Data, r.Details.Attr and, where the entry cannot be had,
	// r.Flags and a finding. Data is in buf where it fits there, else in new
	// memory. Safe from many goroutines. An error ends the run; what is wrong
	// with this entry alone is a finding.
	Read(ctx context.Context, e *Entry, r *format.Record, buf []byte) error
	Close() error
}

// Entry is one thing that a token's list names.
type Entry struct {
	Kind     format.Kind
	Flags    format.Flags // Unlisted
	Name     format.Name
	Findings []format.Finding // what the listing itself showed
	Place    uint64           // the backend's own
}

// Rechecker is a token that can change while it is read.
type Rechecker interface {
	// Recheck is called once, after every entry was read. It names the entries
	// to be read again, new ones among them, and says whether the token stood
	// still.
	Recheck(ctx context.Context) (changed []Entry, stable bool, err error)
}

// Prefetcher is a token whose entries the system can be asked for before they
// are read.
type Prefetcher interface {
	// Prefetch asks for an entry's bytes and does not wait for them. What is
	// wrong with the entry is Read's to say.
	Prefetch(e *Entry)
}

// Validator judges entries by their bytes.
type Validator interface {
	// Validate sets r.Class, the label, id and key type in r.Details and the
	// flag Private as far as the bytes show them, and returns what is wrong.
	// public is true only for what is positively public: a certificate, public
	// key or domain parameters that parsed whole, an index of nothing but names.
	Validate(r *format.Record) (public bool, findings []format.Finding)
}

// Exists is the kind of a finding on an object that was to be restored by
// itself, and stays as it is in the token.
const Exists = "exists"

// Unmended is the kind of a finding on a damaged state file that the archive's
// need not fit: only the whole PIN state of the archive could be put back.
const Unmended = "unmended"

// NotMoved is the kind of a finding on an object that could not be made one of
// the token that was to take it.
const NotMoved = "not-moved"

// RestoreOptions say how a token is built, and what may happen to one that
// stands in its place. The zero value changes nothing that cannot be told to be
// the same token.
type RestoreOptions struct {
	Whole     bool // every entry will come; else only some
	Partly    bool // … every one that is left of the archive: others are lost, some of them by name unknown
	DryRun    bool // look whether it could be done; make nothing
	Fresh     bool // what stands there is refused, whatever it is
	PINs      PINs
	Replace   bool // what stands there may be another token
	Recoded   bool // what comes is the token that stands there, in another form (Migrater)
	InUse     bool // single objects go in though programs use the token
	Overwrite bool // single objects replace those of other bytes
	NoKeep    bool // the token replaced does not stay beside the new one
	// Mend puts right what is damaged, missing or unlisted of a token that stands
	// there, and nothing else. Every entry of the archived token will come.
	Mend bool
	// Logins are the PINs of the token that stands there, as far as they are
	// given: with one, private objects are judged by what they hold. The staging
	// does not change them, and uses them no longer than until Close.
	Logins Logins
	// Into has single objects made anew as the token's own that stands there: under
	// its master key, in its format, by its rule for names. From are the PINs of
	// the archive's token, Logins those of the one that takes the objects.
	Into bool
	From Logins
	// Mended, with Mend, is told at the end what was put right, and what was not
	// touched though the archive has it otherwise. It is called by Commit, in a dry
	// run by Finish.
	Mended func(Mended)
	// There, if set, is told by Finish how many of the single objects that came are
	// there already, and stay alone, and how many bytes these have in the archive.
	There func(objects int, bytes uint64)
	// Locks is the directory of the tokens' locks, where it is another than their
	// kind has.
	Locks string
	// Configuration: the files of a host's configuration are written; else they are
	// only compared.
	Configuration bool
	// Note, if set, is told what the operator should know and is no finding, such
	// as what a killed run had left.
	Note func(message string)
}

// Mended is what a run with Mend did to a token.
type Mended struct {
	Entries []MendedEntry
	Deleted []string // objects of the archive that today's token neither has nor lists: they stay deleted
	Changed []string // objects that are sound and have other bytes than the archive's: they stay
}

// MendedEntry is an entry that was put right, and how.
type MendedEntry struct{ Name, Message string }

// PINs says which PIN state a token keeps whose own is not the archive's.
type PINs int

const (
	// KeepIfSame keeps the one of today where the token can be told to be the
	// archive's, and refuses where it cannot.
	KeepIfSame PINs = iota
	// KeepPINs keeps the one of today, though that cannot be told.
	KeepPINs
	// RollBackPINs takes the archive's.
	RollBackPINs
)

// Staging is a token being built beside the place where it will stand.
type Staging interface {
	// Put writes records of this token. Safe from many goroutines, but not for
	// two records of one name at once.
	Put(ctx context.Context, rs []*format.Record) error
	// Order tells, from one goroutine and in archive order, of every entry of the
	// token, its bytes with it, and whether it was left out: so that index files
	// can be made, and the token compared with the one in its place.
	Order(r *format.Record, left bool) error
	// Finish makes what was put complete and durable, still beside the place.
	// What could not be set (owner, mode) is a finding, as is what of the token
	// in the place goes or stays.
	Finish(ctx context.Context) ([]format.Finding, error)
	// Commit puts it in place, in one step. On an error that is not ErrPartway
	// all is as it was. What users of the token will not see is a finding,
	// as is what could not be set on what only Commit makes.
	Commit(ctx context.Context) ([]format.Finding, error)
	// Close removes what was not committed, and what only building needed.
	Close() error
}

// Comparer is a backend that can say how a token's PINs stand to those of one
// in an archive.
type Comparer interface {
	// Compare begins to compare the token at loc with the archived t.
	Compare(ctx context.Context, loc Location, t *format.Token) (Comparison, error)
}

// Comparison is a token compared with one in an archive.
type Comparison interface {
	// Learn takes every entry of the archived token, in order, with its bytes.
	Learn(r *format.Record)
	// Words says whether they are the same token and whether their PINs are the
	// same, a sentence each, without a full stop.
	Words() []string
	// Other says that what stands there is another token: another master key, or
	// another format.
	Other() bool
	// Close lets go of what was learned.
	Close() error
}
