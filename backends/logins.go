package backends

// Logins are the PINs given for one token; nil where one was not given. They
// are used on files alone: nobody logs in with them.
type Logins struct{ SO, User []byte }

// PINError is a PIN given that is not the token's. It wraps ErrPIN.
type PINError struct {
	SO      bool
	Message string
}

func (e *PINError) Error() string { return ErrPIN.Error() + ": " + e.Message }
func (e *PINError) Unwrap() error { return ErrPIN }

// Given says whether there is any.
func (l Logins) Given() bool { return l.SO != nil || l.User != nil }

// Clear zeroes them.
func (l Logins) Clear() {
	clear(l.SO)
	clear(l.User)
}
