package commands

import "strings"

// The first word may be tar's: its letters without a dash, their values
// following in the order of the letters. In it the letters keep tar's meaning;
// dashed flags have tokar's.

var modeLetters = map[rune]string{'c': "create", 't': "list", 'x': "extract", 'd': "diff"}

// bundleFlags are the letters that become flags.
var bundleFlags = map[rune]string{
	'v': "--verbose", 'z': "--zstd", 'J': "--xz", 'a': "--auto-compress", 'O': "--to-stdout",
}

// always says whether a letter asks for what is done anyway: modes of files,
// checking, keeping what exists, and, when reading, the archive's own codec.
func always(l rune, command string) bool {
	return strings.ContainsRune("pWk", l) || command != "create" && strings.ContainsRune("zJa", l)
}

// bundleValues are the letters whose values follow.
var bundleValues = map[rune]string{
	'f': "--file", 'C': "--directory", 'T': "--files-from", 'X': "--exclude-from",
}

const (
	answerCodecs  = "only zstd and xz; -z is the default, -J is xz"
	answerSealed  = "archives are sealed; make a new one"
	answerNoPaths = "there are no paths in an archive, only TOKEN/OBJECT"
	answerKept    = "owner, mode and time are always kept"
)

// letterAnswers say why a letter of tar's is not there.
var letterAnswers = map[rune]string{
	'j': answerCodecs,
	'Z': answerCodecs,
	'r': answerSealed,
	'u': answerSealed,
	'A': answerSealed,
	'h': "no symlink is followed inside a token",
	'P': answerNoPaths,
	'i': "a damaged archive is refused, never read past; an identity is -i FILE after the command",
	'm': answerKept,
	'o': answerKept,
	'p': "permissions are always kept",
	'S': "token files have no holes",
	's': "objects come in the token's own order",
	'g': "incremental archives are not built yet",
	'W': "what is written is always checked",
}

// longAnswers are the same for tar's long flags.
var longAnswers = map[string]string{
	"strip-components": answerNoPaths, "transform": answerNoPaths, "xform": answerNoPaths,
	"absolute-names": answerNoPaths, "no-recursion": answerNoPaths, "one-file-system": answerNoPaths,
	"gzip": answerCodecs, "gunzip": answerCodecs, "bzip2": answerCodecs, "lzma": answerCodecs,
	"lzip": answerCodecs, "lzop": answerCodecs, "compress": answerCodecs, "use-compress-program": answerCodecs,
	"append": answerSealed, "update": answerSealed, "concatenate": answerSealed, "catenate": answerSealed, "delete": answerSealed,
	"preserve-permissions": answerKept, "same-permissions": answerKept, "same-owner": answerKept,
	"numeric-owner": "owners are always kept as numbers", "no-same-owner": answerKept, "touch": answerKept,
	"dereference": letterAnswers['h'], "sparse": letterAnswers['S'],
	"listed-incremental": letterAnswers['g'], "incremental": letterAnswers['g'],
	"wildcards": "patterns are always wildcards",
	"overwrite": "extract has it",
	"as":        "extract and diff have it",
	"create":    "the command comes first: tokar create",
	"extract":   "the command comes first: tokar extract",
	"get":       "the command comes first: tokar extract",
	"list":      "the command comes first: tokar list",
	"diff":      "the command comes first: tokar diff",
	"compare":   "the command comes first: tokar diff",
}

// bundleLike says whether a word has only letters that tar's first word may
// have.
func bundleLike(word string) bool {
	return strings.Trim(word, "-ctxdfvCTXOzJa"+"jZruAhPimopSsgWk") == ""
}

// unbundle turns tar's first word and the values after it into a command and
// flags. With a dash before it (tar -cf x) the word means the same where that
// is certain.
func unbundle(word string, after []string) (command string, flags, rest []string, err error) {
	letters, dashed := strings.CutPrefix(word, "-")
	if answer := longAnswers[strings.TrimPrefix(letters, "-")]; dashed && answer != "" {
		return "", nil, nil, usagef("", "%s: %s", quote(word), answer)
	}
	if command, err = bundleMode(word, letters); err != nil {
		return "", nil, nil, err
	}
	rest = after
	for i, l := range letters {
		value, takes := bundleValues[l]
		flag, known := bundleFlags[l]
		switch {
		case modeLetters[l] != "" || always(l, command):
		case takes && dashed && i+1 < len(letters):
			return "", nil, nil, usagef(command, "in %s the value of -%c is not certain; type tokar %s", quote(word), l, quote(letters))
		case takes && len(rest) == 0:
			return "", nil, nil, usagef(command, "%c in %s wants a value", l, quote(word))
		case takes:
			flags, rest = append(flags, value+"="+rest[0]), rest[1:]
		case known:
			flags = append(flags, flag)
		case letterAnswers[l] != "":
			return "", nil, nil, usagef(command, "%c in %s: %s", l, quote(word), letterAnswers[l])
		default:
			return "", nil, nil, usagef(command, "%s in %s has no meaning", quote(string(l)), quote(word))
		}
	}
	return command, flags, rest, nil
}

// bundleMode finds the one letter that says what to do.
func bundleMode(word, letters string) (string, error) {
	mode := ""
	for _, l := range letters {
		name := modeLetters[l]
		switch {
		case name == "" && strings.ContainsRune("ruA", l) && mode == "" && bundleLike(word):
			return "", usagef("", "%c in %s: %s", l, quote(word), letterAnswers[l])
		case name != "" && mode != "":
			return "", usagef("", "unknown command %s", quote(word))
		case name != "":
			mode = name
		}
	}
	switch {
	case mode == "" && strings.HasPrefix(word, "-"):
		return "", usagef("", "the command comes before %s", quote(word))
	case mode == "":
		return "", usagef("", "unknown command %s", quote(word))
	}
	return mode, nil
}
