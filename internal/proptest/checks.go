// Package proptest is what property tests with package rapid share.
package proptest

import (
	"flag"
	"strconv"
	"testing"

	_ "pgregory.net/rapid" // defines the flag
)

// Checks makes rapid play n cases for the time of the test, a fifth of them with -short, unless the command
// line says how many. The test must not run beside others of its package.
func Checks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	was := f.Value.String()
	if was != f.DefValue {
		return
	}
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(was); err != nil {
			t.Error(err)
		}
	})
}
