package opencryptoki

import (
	"fmt"

	"tokar/backends/opencryptoki/tokendata"
)

// pinState holds the files that make up a token's PIN state, by their paths:
// NVTOK.DAT, MK_SO and MK_USER, or what a TPM or ICSF token has instead. They
// belong together (new_host.c): a PIN change writes NVTOK.DAT and one MK file.
type pinState map[string][]byte

// pins says of each PIN whether it is the archive's.
func (c *comparison) pins() (words []string) {
	if c.tpm {
		if c.sameKeys() {
			return []string{"the PINs are those of the archive"}
		}
		return []string{"the PINs are not those of the archive: a TPM token keeps them in its key objects, and these differ"}
	}
	a, b := tokendata.ParseNVTOK(c.archived[nvtokName]), tokendata.ParseNVTOK(c.live[nvtokName])
	if a.Format == tokendata.Unknown || a.Format != b.Format {
		return []string{"whether the PINs are those of the archive cannot be told"}
	}
	for _, r := range tokendata.Roles {
		switch there, then := r.Set(c.live[nvtokName]), r.Set(c.archived[nvtokName]); {
		case !there && !then:
			continue
		case !then:
			words = append(words, "the "+r.Name+" was not yet set in the archive")
		case !there:
			words = append(words, "the "+r.Name+" is not set here; in the archive it is")
		case r.Same(c.archived[nvtokName], c.live[nvtokName]):
			words = append(words, "the "+r.Name+" is that of the archive")
		case a.Format == tokendata.Old:
			words = append(words, "the "+r.Name+" is not that of the archive")
		default:
			words = append(words, "the "+r.Name+" was set anew since, perhaps to the same")
		}
		if now, then := r.Tries(c.live[nvtokName]), r.Tries(c.archived[nvtokName]); now != then {
			words = append(words, fmt.Sprintf("the %s is %s here, and %s in the archive", r.Name, orFine(now), orFine(then)))
		}
	}
	return words
}

func orFine(state string) string {
	if state == "" {
		return "in order"
	}
	return state
}
