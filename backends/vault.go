package backends

import "tokar/format"

// Unlocker is a backend whose tokens keep objects behind PINs, and whose files
// alone open to who has these.
type Unlocker interface {
	// Unlock prepares to open what t keeps behind the PINs given, which stay the
	// caller's until the vault is closed. Nil where they open nothing, so that
	// there is nothing to do.
	Unlock(t *format.Token, l Logins) Vault
}

// Vault is what one token keeps behind its PINs. Safe from many goroutines. It
// writes nothing, and no try of a PIN is counted.
type Vault interface {
	// Learn takes an entry of the token's state with its bytes, which it copies.
	// Entries that open nothing it passes over.
	Learn(r *format.Record)
	// Examine opens an object and judges what is in it, once the token's state was
	// learned. It leaves r as it is: what a PIN shows goes into no archive. File
	// and Offset of findings are as Validator's.
	Examine(r *format.Record) (Content, []format.Finding)
	// Close tells what the PINs showed of the token as a whole, after its last
	// entry, and zeroes what was opened. An error is
	// a *PINError; where both PINs are wrong it joins two.
	Close() ([]format.Finding, error)
}

// Content is what a private object says of itself.
type Content struct {
	Opened         bool // it decrypted and authenticated
	Class, KeyType uint32
	Label, ID      []byte
}

// Add lays the content over a record that it is about.
func (c *Content) Add(r *format.Record) {
	if c.Opened {
		r.Class, r.Details.KeyType, r.Details.Label, r.Details.ID = c.Class, c.KeyType, c.Label, c.ID
	}
}
