package opencryptoki

// Suffixes of what stands beside tokens while they are restored, and after.
const (
	stagingSuffix = ".tokar-new"
	oldSuffix     = ".tokar-old"
)
