package main

import (
	"strings"
	"testing"
)

const run = `{"Action":"start","Package":"a/b"}
{"Action":"run","Package":"a/b","Test":"TestGood"}
{"Action":"output","Package":"a/b","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"a/b","Test":"TestGood","Output":"    said by a good test\n"}
{"Action":"pass","Package":"a/b","Test":"TestGood","Elapsed":0}
{"Action":"output","Package":"a/b","Test":"TestPeer","Output":"    x_test.go:9: needs the peer\n"}
{"Action":"output","Package":"a/b","Test":"TestPeer","Output":"--- SKIP: TestPeer (0.00s)\n"}
{"Action":"skip","Package":"a/b","Test":"TestPeer","Elapsed":0}
{"Action":"output","Package":"a/b","Output":"PASS\n"}
{"Action":"output","Package":"a/b","Output":"ok  \ta/b\t0.1s\n"}
{"Action":"pass","Package":"a/b","Elapsed":0.1}
`

const bad = `{"Action":"output","Package":"a/b","Test":"TestBad","Output":"    x_test.go:3: not so\n"}
{"Action":"output","Package":"a/b","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"a/b","Test":"TestBad"}
{"Action":"output","Package":"a/b","Output":"FAIL\ta/b\t0.1s\n"}
`

func report1(input string, allowed string, strict bool) (string, bool) {
	var out strings.Builder
	r := newReport(&out)
	r.read(strings.NewReader(input))
	good := r.close(parseAllowed(allowed), strict)
	return out.String(), good
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name, input, allowed string
		strict, good         bool
		want                 string
	}{
		{"user's host", run, "", false, true,
			"ok  \ta/b\t0.1s\nskipped: a/b TestPeer: x_test.go:9: needs the peer\ntests: 1 passed, 0 failed, 1 skipped\n"},
		{"CI", run, "", true, false,
			"ok  \ta/b\t0.1s\nskipped, which CI does not allow: a/b TestPeer: x_test.go:9: needs the peer\ntests: 1 passed, 0 failed, 1 skipped\n"},
		{"CI, allowed", run, "# remark\na/* TestP* because no machine has one\n", true, true,
			"ok  \ta/b\t0.1s\nskipped: a/b TestPeer: x_test.go:9: needs the peer\ntests: 1 passed, 0 failed, 1 skipped\n"},
		{"CI, another allowed", run, "a/b TestOther because\n", true, false,
			"ok  \ta/b\t0.1s\nskipped, which CI does not allow: a/b TestPeer: x_test.go:9: needs the peer\ntests: 1 passed, 0 failed, 1 skipped\n"},
		{"failure shows its output", bad, "", true, true,
			"    x_test.go:3: not so\n--- FAIL: TestBad (0.00s)\nFAIL\ta/b\t0.1s\ntests: 0 passed, 1 failed, 0 skipped\n"},
		{"words of go itself", "go: no module\n" + `{"Action":"build-output","ImportPath":"a/b","Output":"x.go:1: bad\n"}` + "\n", "", true, true,
			"go: no module\nx.go:1: bad\ntests: 0 passed, 0 failed, 0 skipped\n"},
		{"what was counted", `{"Action":"output","Package":"a/b","Test":"TestKills","Output":"    x_test.go:7: counted: killed at 5 points\n"}` + "\n" +
			`{"Action":"pass","Package":"a/b","Test":"TestKills"}`, "", true, true,
			"TestKills: killed at 5 points\ntests: 1 passed, 0 failed, 0 skipped\n"},
		{"died in a test that passed", `{"Action":"output","Package":"a/b","Test":"TestDies","Output":"panic: test timed out\n"}` + "\n" +
			`{"Action":"pass","Package":"a/b","Test":"TestDies"}`, "", true, true,
			"panic: test timed out\ntests: 1 passed, 0 failed, 0 skipped\n"},
		{"died in a test", `{"Action":"output","Package":"a/b","Test":"TestDies","Output":"panic: oh\n"}`, "", true, true,
			"panic: oh\ntests: 0 passed, 0 failed, 0 skipped\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, good := report1(c.input, c.allowed, c.strict)
			if got != c.want || good != c.good {
				t.Errorf("good %v, want %v; printed\n%s\nwant\n%s", good, c.good, got, c.want)
			}
		})
	}
}
