package format

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// A token that is open keeps no more than its open chunk needs, however large
// the chunks that it closed: any number of tokens may be open.
func TestClosedChunksAreLetGo(t *testing.T) {
	const tokens = 100
	var x Index
	metadata := make([]byte, MaxMetadata)
	before := heap()
	for i := range uint32(tokens) {
		r := Record{Kind: KindObject, Seq: uint64(i), Token: i + 1, Name: fmt.Append(nil, i), Metadata: metadata}
		if len(x.Add(&r)) != 1 {
			t.Fatal("no chunk was closed")
		}
	}
	if got := heap() - before; got > 8<<20 {
		t.Errorf("%d tokens keep %d MiB", tokens, got>>20)
	}
	runtime.KeepAlive(&x)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What a descriptor says is kept for long, the block that it came in is not.
func TestTokenKeepsNothingOfItsRecord(t *testing.T) {
	name := Name("one")
	token, err := DecodeToken(name, (&Token{Kind: "memory"}).Encode())
	if err != nil {
		t.Fatal(err)
	}
	copy(name, "two")
	if !bytes.Equal(token.Name, Name("one")) {
		t.Fatalf("its name is %q now", token.Name)
	}
}
