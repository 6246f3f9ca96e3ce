package backends

// PutBack ends an Advice that is to restore the entry that a finding is about.
// Who prints it may add how.
const PutBack = "put it back from an archive"
