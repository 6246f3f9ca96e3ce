package commands

import (
	"crypto/fips140"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tokar/backends"
	"tokar/format"
	"tokar/format/keyslot"
	"tokar/format/signature"
	"tokar/stages"
)

// Exit codes. They are what scripts rely on: never changed, never used again
// for something else.
const (
	exitDone     = 0 // nothing to report
	exitFindings = 1 // done, and each finding was named
	exitUsage    = 2 // nothing was touched
	exitFailed   = 3 // nothing changed
	exitPartway  = 4 // stopped after a change
	exitBusy     = 5 // nothing changed; try again
	exitSecret   = 6 // key, passphrase, PIN or signer refused; nothing changed
	exitArchive  = 7 // damaged, incomplete or not authentic; nothing changed
)

// exitMeanings say the same to users, in help and in manual pages.
var exitMeanings = [...]string{
	exitDone:     "done",
	exitFindings: "done, with findings, each named",
	exitUsage:    "wrong usage",
	exitFailed:   "failed, nothing changed",
	exitPartway:  "stopped part-way, the message says where",
	exitBusy:     "busy, try again",
	exitSecret:   "key, passphrase, PIN or signer refused",
	exitArchive:  "archive damaged or not authentic",
}

// A failure is an error with the exit code it leads to. Most errors need none:
// their class tells.
type failure struct {
	code int
	err  error
	left string // what was left as it was
	todo string // what to do
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usagef is an error in the command line of a command, or of tokar itself.
func usagef(command, form string, args ...any) error {
	topic, prefix := "", ""
	if command != "" {
		topic, prefix = " "+command, command+": "
	}
	return &failure{code: exitUsage, err: fmt.Errorf("%s"+form+"; see: tokar help%s", spread(prefix, args, topic)...)}
}

func spread(first string, middle []any, last string) []any {
	return append(append([]any{first}, middle...), last)
}

// failedf is an error with exit code 3 and what to do about it.
func failedf(todo, form string, args ...any) error {
	return &failure{code: exitFailed, err: fmt.Errorf(form, args...), todo: todo}
}

// left says of a failure what was left as it was.
func left(err error, what string) error {
	if err == nil {
		return nil
	}
	if codeOf(err) == exitUsage {
		return err
	}
	return &failure{code: codeOf(err), err: err, left: what, todo: todo(err)}
}

// stopped is what becomes of an error that a signal caused.
func stopped(err error) error {
	var f *failure
	stop := &failure{code: codeOf(err), err: errors.New("stopped by a signal")}
	if errors.As(err, &f) {
		stop.left = f.left
	}
	return stop
}

// explain is the one line about an error: what happened, what was left as it
// was, what to do.
func explain(err error) string {
	line := escape(strings.ReplaceAll(err.Error(), "\n", "; ")) // errors.Join's
	var f *failure
	if errors.As(err, &f) && f.left != "" {
		line += "; " + f.left
	}
	if what := todo(err); what != "" {
		line += "; " + what
	}
	return line
}

// codeOf maps an error to its exit code.
func codeOf(err error) int {
	var f *failure
	var part *stages.PartError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &part), errors.Is(err, backends.ErrPartway):
		return exitPartway
	case errors.As(err, &f):
		return f.code
	case isAny(err, backends.ErrBusy, backends.ErrInUse, backends.ErrLocked):
		return exitBusy
	case isAny(err, backends.ErrPIN, backends.ErrNeedsPIN, format.ErrNoKey, format.ErrSigner, keyslot.ErrPassphrase, signature.ErrPassphrase):
		return exitSecret
	case isAny(err, format.ErrNotArchive, format.ErrTruncated, format.ErrChecksum, format.ErrAuthentic,
		format.ErrMalformed, format.ErrUnsupported, backends.ErrBadName):
		return exitArchive
	}
	return exitFailed
}

// untilFree is what to do about a lock that is needed for a change: no flag does
// without it.
const untilFree = "wait until that program gives it back, or end it, and try again"

// todo is what to do about an error.
func todo(err error) string {
	var f *failure
	var locked *stages.LockedError
	var unknown *signature.UnknownError
	var spool *stages.SpoolError
	switch {
	case errors.As(err, &f) && f.todo != "":
		return f.todo
	case errors.As(err, &spool):
		return "save it to a file and give that with -f, or set TMPDIR to a directory with room for it"
	case errors.As(err, &locked):
		return unlocking(locked.Slots)
	case errors.As(err, &unknown):
		return signing(unknown)
	case errors.Is(err, format.ErrNoKey):
		return "give a restore key with -i FILE"
	case errors.Is(err, format.ErrTruncated):
		return "fetch the archive again, whole"
	case isAny(err, format.ErrChecksum, format.ErrAuthentic, format.ErrMalformed):
		return "fetch the archive again, or take an older one"
	case errors.Is(err, format.ErrUnsupported):
		return "open it with a newer tokar"
	case errors.Is(err, backends.ErrNeedsPIN):
		return "--pin or --so-pin is the PIN of the archive's token, --into-pin or --into-so-pin that of the token that takes the objects"
	case errors.Is(err, backends.ErrExists):
		return "move away what is there, or extract into another directory with -C DIR"
	case errors.Is(err, backends.ErrBusy):
		return "try again later"
	case errors.Is(err, backends.ErrInUse) && errors.Is(err, backends.ErrLocked):
		return untilFree
	case errors.Is(err, backends.ErrInUse):
		return "stop pkcsslotd and the programs that use the token, and try again; single objects go in with --token-in-use"
	case errors.Is(err, backends.ErrLocked):
		return "end that program, or try again later; --no-lock reads the token all the same"
	case errors.Is(err, backends.ErrOther):
		return "extract into another directory with -C DIR; or, for a whole token, --replace-token puts the archive's in its place and keeps the old one beside it; --into makes objects those of the token that is there, with the PINs of both; if it was migrated since, tokar migrate undo puts the old one back"
	case errors.Is(err, backends.ErrUnknown):
		return "if you know that it is the same token, --keep-pins keeps its PINs of today; --roll-back-pins takes the archive's; if it is another, --replace-token"
	case errors.Is(err, backends.ErrNotKept):
		return "--roll-back-pins takes the archive's"
	case errors.Is(err, backends.ErrLacking):
		return "take an older archive, or restore single objects; --damaged restores what is damaged as it is"
	case errors.Is(err, backends.ErrChanged):
		return "--force undoes it all the same; what has changed is then in NAME_MIGRATED only"
	case errors.Is(err, backends.ErrKept):
		return "see what of it is still needed, then remove or rename it; or put it back with tokar migrate undo"
	case errors.Is(err, backends.ErrKeptOther):
		return "compare both; when nothing of the kept one is needed, rename or remove it"
	case isAny(err, backends.ErrOldCopy, backends.ErrAside):
		return "see what of it is still needed, then remove or rename it"
	}
	return ""
}

// signing is what to do with an archive that no known signer signed.
func signing(e *signature.UnknownError) string {
	switch {
	case e.Signature == nil:
		return "take one that was made with create --sign"
	case e.Untimely:
		return "look at that line; --verify-time judges by another moment than now"
	case e.Why != "":
		return "look at that line"
	}
	return "do not use it unless you learn whose key that is; then " + e.List + " can list it"
}

// unlocking is what opens an archive with these slots.
func unlocking(slots []format.Slot) string {
	const identity, passphrase = "a key that opens it with -i FILE", "its passphrase with -p or --passphrase"
	isPassphrase := func(s format.Slot) bool { return s.Type == format.SlotPassphrase }
	isNotAge := func(s format.Slot) bool { return s.Type != format.SlotAge }
	switch {
	case fips140.Enforced() && !slices.ContainsFunc(slots, isNotAge):
		return "age and SSH keys do not work with fips140=only: give the archive an HPKE key with tokar rekey on a host without it"
	case !slices.ContainsFunc(slots, isPassphrase):
		return "give " + identity
	case slices.ContainsFunc(slots, func(s format.Slot) bool { return !isPassphrase(s) }):
		return "give " + identity + ", or " + passphrase
	}
	return "give " + passphrase
}

func isAny(err error, classes ...error) bool {
	for _, c := range classes {
		if errors.Is(err, c) {
			return true
		}
	}
	return false
}

// severity orders the codes from mild to grave, so that the worst wins.
var severity = [...]int{exitDone: 0, exitFindings: 1, exitFailed: 2, exitBusy: 3,
	exitArchive: 4, exitSecret: 5, exitPartway: 6, exitUsage: 7}

// worst is the code of two that says more.
func worst(a, b int) int {
	if severity[a] > severity[b] {
		return a
	}
	return b
}
