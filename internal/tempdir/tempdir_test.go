package tempdir_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/shapebus/shapebus/internal/tempdir"
)

func newDir(t *testing.T, prefix string) *tempdir.Dir {
	t.Helper()
	d, err := tempdir.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Path(), "content"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func TestNew(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	left, used, other := newDir(t, "use-a-"), newDir(t, "use-a-"), newDir(t, "use-b-")
	unlocked := filepath.Join(os.Getenv("TMPDIR"), "use-a-without-lock")
	if err := os.Mkdir(unlocked, 0o755); err != nil {
		t.Fatal(err)
	}
	// What the system does when a process is killed.
	for _, d := range []*tempdir.Dir{left, other} {
		if err := d.File().Close(); err != nil {
			t.Fatal(err)
		}
	}
	last := newDir(t, "use-a-")
	for _, c := range []struct {
		what, path string
		want       bool
	}{
		{"the directory of a killed process", left.Path(), false},
		{"a directory in use", used.Path(), true},
		{"a directory of another use", other.Path(), true},
		{"a directory that has no lock and so is not ours", unlocked, true},
		{"the new directory", last.Path(), true},
	} {
		if got := exists(t, c.path); got != c.want {
			t.Errorf("%s: exists is %v, want %v", c.what, got, c.want)
		}
	}
	for _, d := range []*tempdir.Dir{used, last} {
		if err := d.Remove(); err != nil || exists(t, d.Path()) {
			t.Errorf("%s is there after Remove (%v)", d.Path(), err)
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	first, err := tempdir.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tempdir.Lock(dir); !errors.Is(err, tempdir.ErrInUse) {
		t.Errorf("locked twice: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := tempdir.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
