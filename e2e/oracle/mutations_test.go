package oracle

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mutationsEnv is how many seeds each mutation may take. Without it the test is
// skipped: it takes many minutes.
const mutationsEnv = "ORACLE_MUTATIONS"

// TestMutationsAreFound brings faults that there were back into a copy of the
// product, one at a time, and wants the oracle to find each within some random
// seeds. A fault is a patch in testdata/mutations; above it stand lines
// "with: <ingredients>" and "seconds: <of a run>", and what the fault was.
func TestMutationsAreFound(t *testing.T) {
	seeds := number(t, mutationsEnv, 0)
	if seeds == 0 {
		t.Skipf("set %s to a number of seeds", mutationsEnv)
	}
	root := command(t, ".", "git", "rev-parse", "--show-toplevel")
	patches, err := filepath.Glob("testdata/mutations/*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("no mutations: %v", err)
	}
	for _, name := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".patch"), func(t *testing.T) {
			m := readMutation(t, name)
			binary := m.build(t, root)
			began := time.Now()
			for seed := uint64(1); seed <= seeds; seed++ {
				if symptom := m.run(t, binary, seed); symptom != "" {
					t.Logf("seed %d finds it after %s: %s", seed, time.Since(began).Round(time.Second), symptom)
					return
				}
			}
			t.Errorf("%d seeds did not find it in %s", seeds, time.Since(began).Round(time.Second))
		})
	}
}

// mutation is a fault to bring back.
type mutation struct {
	patch   string // file
	with    string
	seconds string
}

func readMutation(t *testing.T, name string) mutation {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := mutation{seconds: "60"}
	if m.patch, err = filepath.Abs(name); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "--- ") {
			break
		}
		if with, ok := strings.CutPrefix(line, "with: "); ok {
			m.with = with
		}
		if seconds, ok := strings.CutPrefix(line, "seconds: "); ok {
			m.seconds = seconds
		}
	}
	return m
}

// build makes the binary of a copy of the tree with the fault.
func (m mutation) build(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	for name := range strings.SplitSeq(command(t, root, "git", "ls-files"), "\n") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t, dir, "git", "apply", m.patch)
	command(t, dir, "go", "build", "-o", "mutant", "./cmd/shapebus")
	return filepath.Join(dir, "mutant")
}

// run plays a seed and returns the first symptom, "" if there was none.
func (m mutation) run(t *testing.T, binary string, seed uint64) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^TestEveryCommitMarkerIsExact$")
	cmd.Env = append(os.Environ(), binaryEnv+"="+binary, seedEnv+"="+strconv.FormatUint(seed, 10),
		secondsEnv+"="+m.seconds, ingredientsEnv+"="+m.with, mutationsEnv+"=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if cmd.Run() == nil {
		return ""
	}
	for line := range strings.Lines(out.String()) {
		for _, word := range []string{"at marker", "at rest", "waited", "has ended", "ended by itself", "a reader"} {
			if strings.Contains(line, "_test.go:") && strings.Contains(line, word) && !strings.Contains(line, "s at rest") {
				return fmt.Sprintf("%.400s", strings.TrimSpace(line))
			}
		}
	}
	text := out.String()
	return "something that is not understood:\n" + text[max(0, len(text)-2000):]
}

// command runs a program and returns what it printed, without the last line's end.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestMutationsApply keeps the patches true to the product that they change.
func TestMutationsApply(t *testing.T) {
	patches, err := filepath.Glob("testdata/mutations/*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("no mutations: %v", err)
	}
	if err := exec.CommandContext(t.Context(), "git", "rev-parse").Run(); err != nil {
		t.Skip("needs git, and the tree as it was cloned")
	}
	root := command(t, ".", "git", "rev-parse", "--show-toplevel")
	for _, name := range patches {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		command(t, root, "git", "apply", "--check", path)
	}
}
