package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// outcome is a test that is told how to end. Ending unwinds to whoever runs it.
type outcome struct {
	testing.TB

	skipped, failed string
}

func (o *outcome) Skipf(format string, args ...any) {
	o.skipped = fmt.Sprintf(format, args...)
	panic(o)
}

func (o *outcome) Fatalf(format string, args ...any) {
	o.failed = fmt.Sprintf(format, args...)
	panic(o)
}

// ends runs a function until it has a test end.
func ends(t *testing.T, f func(testing.TB)) (o *outcome) {
	t.Helper()
	o = &outcome{TB: t}
	defer func() {
		if p := recover(); p != nil && p != any(o) {
			panic(p)
		}
	}()
	f(o)
	return o
}

// Where the clients cannot be installed their tests are skipped, unless a machine is meant to run them.
func TestClientsThatCannotBeInstalled(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"package.json": `{"name":"x","version":"1.0.0","dependencies":{"left":"1.0.0"}}`,
		"package-lock.json": `{"name":"x","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{"":{"name":"x","version":"1.0.0",
			"dependencies":{"left":"1.0.0"}},"node_modules/left":{"version":"1.0.0","resolved":"http://127.0.0.1:9/left.tgz","integrity":"sha512-AAAA"}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	empty := t.TempDir()
	for _, c := range []struct {
		name, path, why string
		slow            bool
	}{
		{"no node", empty, "there is no node here", false},
		{"no network", os.Getenv("PATH"), "the clients cannot be installed", true},
	} {
		if c.slow && testing.Short() {
			continue
		}
		t.Setenv("PATH", c.path)
		t.Setenv(mustInstall, "")
		var m modules
		need := func(tb testing.TB) {
			tb.Helper()
			m.need(tb, dir)
		}
		if o := ends(t, need); !strings.Contains(o.skipped, c.why) || o.failed != "" {
			t.Errorf("%s: skipped with %q, failed with %q", c.name, o.skipped, o.failed)
		}
		t.Setenv(mustInstall, "1")
		if o := ends(t, need); !strings.Contains(o.failed, c.why) || o.skipped != "" {
			t.Errorf("%s, but they have to be there: skipped with %q, failed with %q", c.name, o.skipped, o.failed)
		}
	}
}
