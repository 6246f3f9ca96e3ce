package commands

// longAnswers say why a long flag of tar's is not there, as letterAnswers do.
var longAnswers = map[string]string{
	"strip-components": answerNoPaths, "transform": answerNoPaths, "xform": answerNoPaths,
	"absolute-names": answerNoPaths, "no-recursion": answerNoPaths, "recursion": answerNoPaths,
	"one-file-system": answerNoPaths, "one-top-level": answerNoPaths, "show-transformed-names": answerNoPaths,

	"gzip": answerCodecs, "gunzip": answerCodecs, "ungzip": answerCodecs, "bzip2": answerCodecs,
	"lzma": answerCodecs, "lzip": answerCodecs, "lzop": answerCodecs, "compress": answerCodecs,
	"uncompress": answerCodecs, "use-compress-program": answerCodecs,
	"zstd": answerAsIs, "xz": answerAsIs, "auto-compress": answerAsIs, "no-compress": answerAsIs,

	"append": answerSealed, "update": answerSealed, "concatenate": answerSealed,
	"catenate": answerSealed, "delete": answerSealed,

	"preserve-permissions": answerKept, "same-permissions": answerKept, "same-owner": answerKept,
	"preserve-order": letterAnswers['s'], "same-order": letterAnswers['s'], "sort": letterAnswers['s'],
	"no-same-owner": answerKept, "no-same-permissions": answerKept, "touch": answerKept, "mtime": answerKept,
	"owner": answerKept, "group": answerKept, "mode": answerKept, "atime-preserve": answerKept,
	"acls": answerKept, "selinux": answerKept, "xattrs": answerKept,
	"no-acls": answerKept, "no-selinux": answerKept, "no-xattrs": answerKept,
	"numeric-owner": "an owner goes by name where the name is known, else by number",

	"keep-newer-files": answerNew, "skip-old-files": answerNew, "keep-old-files": "the flag is -k, --keep-existing",
	"overwrite": "extract has it", "to-stdout": "extract has it", "overwrite-dir": answerNew, "unlink-first": letterAnswers['U'],
	"recursive-unlink": letterAnswers['U'], "remove-files": "tokens are never removed",
	"backup": "what is replaced stays as TOKEN.tokar-old",

	"dereference": letterAnswers['h'], "hard-dereference": letterAnswers['l'], "sparse": letterAnswers['S'],
	"check-links": letterAnswers['l'], "block-number": letterAnswers['R'],
	"listed-incremental": letterAnswers['g'], "incremental": letterAnswers['g'],
	"newer": letterAnswers['N'], "after-date": letterAnswers['N'], "newer-mtime": letterAnswers['N'],
	"interactive": letterAnswers['w'], "confirmation": letterAnswers['w'],
	"starting-file": letterAnswers['K'], "occurrence": letterAnswers['K'],
	"wildcards": "patterns are always wildcards", "no-wildcards": "patterns are always wildcards; a backslash takes one off",
	"ignore-case": "names are matched as they are written", "anchored": "a pattern matches a whole name or one part of it",
	"ignore-zeros": letterAnswers['i'], "multi-volume": answerOne, "tape-length": answerOne, "new-volume-script": letterAnswers['F'],
	"blocking-factor": letterAnswers['b'], "read-full-records": letterAnswers['b'], "record-size": letterAnswers['b'],
	"verify": letterAnswers['W'], "totals": "the last line tells the totals", "checkpoint": "--progress tells how far it is, and the signal USR1 asks",
	"force-local": "a colon in a name means nothing", "rsh-command": "pipe the archive through ssh",
	"utc": "times are always UTC", "full-time": "times are always shown in full",
	"label": "an archive names its host and time itself", "format": "there is one format",
	"color": answerColour, "colour": answerColour, "no-color": answerColour,
	"yes":       "nothing is asked that a flag would have to answer",
	"directory": letterAnswers['C'],
	"identity":  "a key that opens archives goes where they are read, and create takes public keys: -R FILE.pub",

	"as":      "extract and diff have it",
	"create":  "the command comes first: tokar create",
	"extract": "the command comes first: tokar extract",
	"get":     "the command comes first: tokar extract",
	"list":    "the command comes first: tokar list",
	"diff":    "the command comes first: tokar diff",
	"compare": "the command comes first: tokar diff",
}
