package opencryptoki

// Advice says what to do about a finding of this kind.
func (Backend) Advice(kind string) string {
	switch kind {
	case Unlisted:
		return "if it is wanted, restore it by name from an archive; else remove it"
	}
	return ""
}
