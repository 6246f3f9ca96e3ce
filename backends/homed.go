package backends

// Homed is a backend whose tokens have one usual place.
type Homed interface {
	// Home is the directory in which programs look for them.
	Home() string
}
