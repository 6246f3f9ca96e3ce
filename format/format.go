// Package format is the tokar archive on the wire, and nothing else: it knows
// neither tokens nor files nor goroutines.
//
// An archive is
//
//	header  frame frame …  header again  footer
//
// The header (header.go) is the core, which everything binds, and the slot
// section (slot.go), which carries the archive's two keys for those who may
// open it. A frame (frame.go) is one sealed part of a block; its body
// (body.go) is a compressed front and, beside it, what does not compress.
// Records (record.go) stand in data blocks as tables (table.go); index chunks
// (chunk.go) repeat their headers, the directory (directory.go) lists frames,
// the end block (end.go) counts them and proves them, the footer (footer.go)
// says where to look. Keys (keys.go) come from tK and mK.
//
// Numbers are big-endian. docs/FORMAT.md specifies every byte.
package format

// Version is the archive version this package writes and reads.
const Version = 1

// Suite is the set of primitives this package writes and reads: HKDF-SHA-256,
// HMAC-SHA-256, AES-256-GCM, SHA-256.
const Suite = 1

// Every limit of the format in one place. A reader refuses what exceeds them
// before it allocates.
const (
	MaxHeader     = 1 << 20  // bytes of core and slot section
	MaxExtensions = 4 << 10  // bytes of extension fields in the core
	MaxSlots      = 64       // key slots in a header
	MaxSlotBody   = 64 << 10 // bytes of one slot's body

	MaxObject   = 64 << 20 // bytes of one object
	MaxMetadata = 1 << 20  // bytes of one record's details
	MaxName     = 1 << 10  // bytes of a name, all components
	MaxParts    = 8        // components of a name
	MaxPart     = 255      // bytes of one component
	MaxACL      = 128      // entries of an access control list
	MaxIDName   = 128      // bytes of the name of a user or group
	MaxSecurity = 4 << 10  // bytes of a security label

	MaxBlock   = 8 << 20                        // bytes of a block's body, but for a block of one record
	MaxBody    = MaxObject + MaxMetadata + 4096 // bytes of any block's body
	MaxRecords = 1 << 16                        // records of one block part or index chunk
	MaxWindow  = 8 << 20                        // decompressor window

	ChunkRecords = 4096      // an index chunk is closed when it holds so many records
	ChunkBytes   = 256 << 10 // … or so many bytes of names and metadata

	MaxSignature = 16 << 10 // bytes of a signature

	MaxSeals = 1 << 32 // seals under one key with random nonces
)

// ClassNone is the class of what has no CKA_CLASS, or none that can be told.
const ClassNone = ^uint32(0)

// NoSeq stands for "supersedes nothing".
const NoSeq = ^uint64(0)
