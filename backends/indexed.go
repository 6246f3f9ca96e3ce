package backends

// Indexed is a backend whose tokens list their objects in an index.
type Indexed interface {
	// IndexNames gives the object names that an index lists, in its order.
	IndexNames(index []byte) []string
}
