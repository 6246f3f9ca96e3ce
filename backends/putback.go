package backends

// PutBack ends an Advice that is to restore the entry that a finding is about.
// Who prints it may add how.
const PutBack = "put it back from an archive"

// Repair ends an Advice that is to mend the token that a finding is about: what
// is wrong is not in that entry alone.
const Repair = "repair the token with an archive"
