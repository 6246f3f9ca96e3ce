package commands

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"tokar/format"
	"tokar/format/cryptoki"
	"tokar/stages"
)

// schema is the number in the field v of every line. Fields are added, never
// changed.
const schema = 1

// jsonLines writes one object a line, the last of them a summary.
type jsonLines struct {
	out    *text
	shared bool // on stderr, where people read too
	fixed  bool // where --json-fd wants it
}

func (j *jsonLines) write(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own structs come here
	}
	j.out.line(harmless(b))
}

// harmless escapes what encoding/json leaves as it is and a terminal would
// obey: DEL, the upper control characters, direction marks.
func harmless(text []byte) string {
	var b strings.Builder
	for _, r := range string(text) {
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return b.String()
}

type jsonHead struct {
	Type string `json:"type"`
	V    int    `json:"v"`
}

// number is a JSON number, or a string where others would lose digits.
type number uint64

func (n number) MarshalJSON() ([]byte, error) {
	s := strconv.FormatUint(uint64(n), 10)
	if n > 1<<53 {
		s = `"` + s + `"`
	}
	return []byte(s), nil
}

// jsonName is a name as text, or in hex if it is not UTF-8.
type jsonName struct {
	Token    string `json:"token,omitempty"`
	Name     string `json:"name,omitempty"`
	TokenHex string `json:"token_hex,omitempty"`
	NameHex  string `json:"name_hex,omitempty"`
}

func nameOf(token, name string) (j jsonName) {
	if j.Token = token; !utf8.ValidString(token) {
		j.Token, j.TokenHex = "", hex.EncodeToString([]byte(token))
	}
	if j.Name = name; !utf8.ValidString(name) {
		j.Name, j.NameHex = "", hex.EncodeToString([]byte(name))
	}
	return j
}

type jsonFinding struct {
	jsonHead
	jsonName
	Kind    string `json:"kind"`
	File    string `json:"file,omitempty"`
	Offset  *int64 `json:"offset,omitempty"`
	Message string `json:"message"`

	Archived string `json:"archived,omitempty"` // of a difference
	Live     string `json:"live,omitempty"`
	Advice   string `json:"advice,omitempty"`
}

func (j *jsonLines) finding(n notice) {
	line := jsonFinding{
		jsonHead: jsonHead{"finding", schema}, jsonName: nameOf(n.token, n.entry),
		Kind: n.Kind, File: n.File, Message: n.Message,
		Archived: n.archived, Live: n.live, Advice: n.advice.one(),
	}
	if n.Offset >= 0 {
		line.Offset = &n.Offset
	}
	j.write(line)
}

type jsonNote struct {
	jsonHead
	jsonName
	Kind    string `json:"kind,omitempty"`
	File    string `json:"file,omitempty"`
	Message string `json:"message"`
}

func (j *jsonLines) caution(token, entry string, f format.Finding) {
	j.write(jsonNote{jsonHead{"note", schema}, nameOf(token, entry), f.Kind, f.File, f.Message})
}

func (j *jsonLines) note(token, message string) {
	j.write(jsonNote{jsonHead: jsonHead{"note", schema}, jsonName: nameOf(token, ""), Message: message})
}

type jsonRepaired struct {
	jsonHead
	jsonName
	Message string `json:"message"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func (j *jsonLines) repaired(token, entry, message string, would bool) {
	j.write(jsonRepaired{jsonHead{"repaired", schema}, nameOf(token, entry), message, would})
}

type jsonComparison struct {
	jsonHead
	jsonName
	Path        string   `json:"path"`
	Objects     number   `json:"objects"`
	Differences number   `json:"differences"`
	Unstable    bool     `json:"unstable,omitempty"`
	Words       []string `json:"words,omitempty"`
}

func (j *jsonLines) comparison(c *stages.Compared) {
	j.write(jsonComparison{
		jsonHead{"comparison", schema}, nameOf(c.Archived.Name.String(), ""), c.Path,
		number(c.Objects), number(uint64(len(c.Differences)) + c.More), c.Unstable, c.Words,
	})
}

type jsonWarning struct {
	jsonHead
	Message string `json:"message"`
}

func (j *jsonLines) warning(message string) {
	j.write(jsonWarning{jsonHead{"warning", schema}, message})
}

type jsonArchive struct {
	jsonHead
	Made    string   `json:"made"`
	Host    string   `json:"host,omitempty"`
	Writer  string   `json:"writer,omitempty"`
	Options []string `json:"options,omitempty"`
}

func (j *jsonLines) archive(a *format.Archive) {
	j.write(jsonArchive{jsonHead{"archive", schema}, time.Unix(a.Made, 0).UTC().Format(time.RFC3339), a.Host, a.Writer, a.Options})
}

type jsonToken struct {
	jsonHead
	jsonName
	Kind         string            `json:"kind"`
	Label        string            `json:"label,omitempty"`
	Manufacturer string            `json:"manufacturer,omitempty"`
	Model        string            `json:"model,omitempty"`
	Serial       string            `json:"serial,omitempty"`
	Properties   map[string]string `json:"properties,omitempty"`
	Notes        []string          `json:"notes,omitempty"`
}

func (j *jsonLines) token(t *format.Token) {
	line := jsonToken{jsonHead{"token", schema}, nameOf(t.Name.String(), ""), t.Kind, t.Label, t.Manufacturer, t.Model, t.Serial, map[string]string{}, t.Notes}
	for _, p := range t.Properties {
		line.Properties[p.Key] = p.Value
	}
	j.write(line)
}

type jsonObject struct {
	jsonHead
	jsonName
	Seq        number            `json:"seq"`
	Supersedes *number           `json:"supersedes,omitempty"`
	Kind       string            `json:"kind"`
	Flags      []string          `json:"flags,omitempty"`
	Size       uint32            `json:"size"`
	Class      string            `json:"class,omitempty"`
	KeyType    string            `json:"key_type,omitempty"`
	Label      string            `json:"label,omitempty"`      // hex
	LabelText  string            `json:"label_text,omitempty"` // the same, if it is UTF-8
	ID         string            `json:"id,omitempty"`         // hex
	Mode       string            `json:"mode,omitempty"`       // octal
	UID        *uint32           `json:"uid,omitempty"`
	GID        *uint32           `json:"gid,omitempty"`
	Owner      string            `json:"owner,omitempty"`
	Group      string            `json:"group,omitempty"`
	ACL        string            `json:"acl,omitempty"`     // short text form of acl(5)
	SELinux    string            `json:"selinux,omitempty"` // the label that SELinux knows it by
	MTime      string            `json:"mtime,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"` // hex
}

func (j *jsonLines) object(t *format.Token, r *format.Record, attributes map[string]string) {
	line := jsonObject{
		jsonHead:   jsonHead{"object", schema},
		jsonName:   nameOf(t.Name.String(), r.Name.String()),
		Seq:        number(r.Seq),
		Kind:       r.Kind.String(),
		Flags:      flagWords(r.Flags),
		Size:       r.Size,
		Label:      hex.EncodeToString(r.Details.Label),
		ID:         hex.EncodeToString(r.Details.ID),
		Attributes: attributes,
	}
	if r.Supersedes != format.NoSeq {
		n := number(r.Supersedes)
		line.Supersedes = &n
	}
	if r.Class != format.ClassNone {
		line.Class = cryptoki.ClassName(r.Class)
	}
	if r.Details.KeyType != format.ClassNone {
		line.KeyType = cryptoki.KeyTypeName(r.Details.KeyType)
	}
	if utf8.Valid(r.Details.Label) {
		line.LabelText = string(r.Details.Label)
	}
	if a := r.Details.Attr; a.Known {
		line.Mode = "0" + strconv.FormatUint(uint64(a.Mode), 8)
		line.UID, line.GID = &a.UID, &a.GID
		line.Owner, line.Group, line.ACL, line.SELinux = a.Owner, a.Group, a.ACL.String(), a.Security
		line.MTime = time.Unix(0, a.MTime).UTC().Format(time.RFC3339Nano)
	}
	j.write(line)
}

// flagWords are a record's flags by name.
func flagWords(f format.Flags) (words []string) {
	for _, w := range []struct {
		flag format.Flags
		word string
	}{
		{format.Wrapped, "wrapped"}, {format.Private, "private"}, {format.Damaged, "damaged"},
		{format.Unlisted, "unlisted"}, {format.Vanished, "vanished"}, {format.Refused, "refused"},
	} {
		if f&w.flag != 0 {
			words = append(words, w.word)
		}
	}
	return words
}

// jsonSummary is the last line of every run.
type jsonSummary struct {
	jsonHead
	Command    string   `json:"command"`
	Exit       int      `json:"exit"`
	Complete   bool     `json:"complete"` // the whole archive was read and proved, or written
	Error      string   `json:"error,omitempty"`
	Findings   number   `json:"findings"`
	Tokens     number   `json:"tokens"`
	Records    number   `json:"records"`
	Objects    number   `json:"objects"`
	Bytes      number   `json:"bytes"`
	Damaged    number   `json:"damaged"`
	Left       number   `json:"left"`
	Written    *number  `json:"written,omitempty"`
	Generation *uint32  `json:"generation,omitempty"`
	Restores   *bool    `json:"restores,omitempty"`
	Unstable   []string `json:"unstable,omitempty"`
	Committed  []string `json:"committed,omitempty"`
	Recipient  string   `json:"recipient,omitempty"`
	DryRun     bool     `json:"dry_run,omitempty"`
	Proof      string   `json:"proof,omitempty"`     // of a salvage: what of T is left
	Signature  string   `json:"signature,omitempty"` // … of the signature
	SignedBy   string   `json:"signed_by,omitempty"`
	SignerKey  string   `json:"signer_key,omitempty"`
	Signers    []string `json:"signers,omitempty"`
	Trusted    *bool    `json:"trusted,omitempty"`
	Restored   *number  `json:"restored,omitempty"` // objects, of extract
	There      number   `json:"there,omitempty"`    // … that were there already
	Repaired   *number  `json:"repaired,omitempty"` // entries, of repair

	partial bool // the archive was not whole
}

// summaryOf takes over what the engine counted.
func summaryOf(s *stages.Summary) *jsonSummary {
	if s == nil {
		return &jsonSummary{}
	}
	sum := &jsonSummary{
		Tokens: number(s.Tokens), Records: number(s.Records), Objects: number(s.Objects), Bytes: number(s.Bytes),
		Damaged: number(s.Damaged), Left: number(s.Left),
		Generation: &s.Generation, Restores: &s.Restores, Unstable: s.Unstable,
	}
	sum.signed(s)
	return sum
}

func (j *jsonLines) summary(command string, code int, findings uint64, err error, sum *jsonSummary) {
	if sum == nil {
		sum = &jsonSummary{}
	}
	sum.jsonHead = jsonHead{"summary", schema}
	sum.Command, sum.Exit, sum.Complete, sum.Findings = command, code, err == nil && !sum.partial, number(findings)
	if err != nil {
		sum.Error = explain(err)
		sum.refused(err)
	}
	j.write(sum)
	j.out.flush()
}
