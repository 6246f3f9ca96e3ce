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
	answerAsIs    = "an archive says itself how it is compressed"
	answerColour  = "nothing is coloured"
	answerNew     = "each object is restored or left as --overwrite and -k say, whatever its time"
	answerOne     = "an archive is one stream; split cuts one, cat puts it together"
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
	'i': "a damaged archive is refused; of one without another copy extract --salvage brings back what is whole; a key that opens one is -i FILE where archives are read, and create takes public keys: -R FILE.pub",
	'm': answerKept,
	'o': answerKept,
	'p': "permissions are always kept",
	'S': "token files have no holes",
	's': "objects come in the token's own order",
	'g': "incremental archives are not built yet",
	'W': "what is written is always checked",
	'z': answerAsIs,
	'J': answerAsIs,
	'a': answerAsIs,
	'b': "blocks are the archive's own",
	'B': "blocks are the archive's own",
	'M': answerOne,
	'L': answerOne,
	'K': "a pattern chooses what is restored",
	'N': "an archive holds the token of one moment; --exclude leaves out by name",
	'w': "nothing is asked in the middle; -n shows what would be done",
	'U': "what is replaced is replaced in one step",
	'l': "a token has no hard links",
	'R': "a damaged place is named by its byte",
	'I': answerCodecs,
	'F': "a script runs after tokar: tokar … && script",
	'G': "incremental archives are not built yet",
	'C': "a directory is for create, extract, diff and check",
	'O': "extract has it",
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
