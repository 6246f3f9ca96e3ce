package opencryptoki

import (
	"bytes"
	"encoding/binary"
	"sort"
)

// OBJ.IDX holds one object name a line, each closed by LF (object_mgr and
// loadsave.c). What the library makes of other lines differs between releases:
// 3.8.1 loses the last object without LF and all objects of a file with CR LF,
// the newest reads both; neither says so. So both are findings.

// indexLines calls yield for each line with its offset, LF and CR cut off, and
// tells where lines end otherwise than in LF.
func indexLines(index []byte, found *findings, yield func(line []byte, offset int)) {
	crlf, first := 0, 0
	for at := 0; at < len(index); {
		line, _, whole := bytes.Cut(index[at:], []byte{'\n'})
		next := at + len(line) + 1
		if !whole {
			found.add(LineEnd, indexPath, len(index), "the last line does not end in LF: releases up to 3.27.0 lose its object")
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			if crlf == 0 {
				first = at + n - 1
			}
			crlf++
			line = line[:n-1]
		}
		yield(line, at)
		at = next
	}
	if crlf > 0 {
		found.add(LineEnd, indexPath, first, "%d of its lines end in CR LF: older releases lose their objects", crlf)
	}
}

// IndexNames gives the object names in an OBJ.IDX; what is no name is passed
// over.
func (Backend) IndexNames(index []byte) (names []string) {
	indexLines(index, &findings{}, func(line []byte, _ int) {
		if isObjectName(line) {
			names = append(names, string(line))
		}
	})
	return names
}

// onlyNames says whether all that an index holds is object names.
func onlyNames(index []byte) bool {
	only := true
	var found findings
	indexLines(index, &found, func(line []byte, _ int) {
		only = only && isObjectName(line)
	})
	return only && len(found.list) == 0
}

const indexPath = objectsName + "/" + indexName

// object is a file in TOK_OBJ that has an object's name, kept in 10 bytes or
// so: a token may have a million.
type object struct {
	key    uint64 // the name, big-endian, so that keys sort as names do
	typ    byte   // DT_…
	listed bool   // OBJ.IDX names it
}

func objectKey(name []byte) uint64 { return binary.BigEndian.Uint64(name) }

func (o object) name() []byte { return binary.BigEndian.AppendUint64(nil, o.key) }

// objects are sorted by name.
type objects []object

func (os objects) find(name []byte) *object {
	key := objectKey(name)
	i := sort.Search(len(os), func(i int) bool { return os[i].key >= key })
	if i == len(os) || os[i].key != key {
		return nil
	}
	return &os[i]
}

// order goes through OBJ.IDX and gives the place of each object in it: what is
// listed and there, once, in order. What is wrong with the index goes to found.
func (os objects) order(index []byte, found *findings) []int32 {
	order := make([]int32, 0, len(os))
	add := func(kind string, offset int, form string, line []byte) {
		if !found.full() { // a hostile index has many millions
			found.add(kind, indexPath, offset, form, line)
		}
	}
	indexLines(index, found, func(line []byte, offset int) {
		if !isObjectName(line) {
			add(IndexLine, offset, "%.40q is no object name", line)
			return
		}
		o := os.find(line)
		switch {
		case o == nil:
			if !found.full() {
				found.add(Missing, objectPath(line), -1, "OBJ.IDX lists it at byte %d, and there is no such file", offset)
			}
		case o.listed:
			add(Duplicate, offset, "lists object %s again", line)
		default:
			o.listed = true
			order = append(order, int32(offset))
		}
	})
	return order
}
