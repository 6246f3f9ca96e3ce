package backends

// Logins are the PINs given for one token; nil where one was not given. They
// are used on files alone: nobody logs in with them.
type Logins struct{ SO, User []byte }

// Given says whether there is any.
func (l Logins) Given() bool { return l.SO != nil || l.User != nil }

// Clear zeroes them.
func (l Logins) Clear() {
	clear(l.SO)
	clear(l.User)
}
