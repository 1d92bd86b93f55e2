package pgtemp

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func fakeBin(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindBinaries(t *testing.T) {
	t.Run("PG_BIN goes before everything else that is installed", func(t *testing.T) {
		dir := fakeBin(t, t.TempDir(), "18.4")
		t.Setenv("PG_BIN", dir)
		if got, err := findBinaries(t.Context(), ""); err != nil || got != dir {
			t.Errorf("found %q, %v", got, err)
		}
	})
	t.Run("and Options.BinDir before PG_BIN", func(t *testing.T) {
		t.Setenv("PG_BIN", fakeBin(t, t.TempDir(), "18.4"))
		dir := fakeBin(t, t.TempDir(), "16.14 (Debian 16.14-1)")
		if got, err := findBinaries(t.Context(), dir); err != nil || got != dir {
			t.Errorf("found %q, %v", got, err)
		}
	})
	t.Run("a named directory that does not do is an error, not a reason to take another", func(t *testing.T) {
		for version, want := range map[string]string{"13.22": "too old", "nothing": "said"} {
			t.Setenv("PG_BIN", fakeBin(t, t.TempDir(), version))
			if got, err := findBinaries(t.Context(), ""); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("version %s: found %q, %v", version, got, err)
			}
		}
		t.Setenv("PG_BIN", t.TempDir())
		if got, err := findBinaries(t.Context(), ""); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("empty directory: found %q, %v", got, err)
		}
	})
	t.Run("the npm package is found from a directory below the project", func(t *testing.T) {
		below := filepath.Join(t.TempDir(), "pkg", "deep")
		if err := os.MkdirAll(below, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Chdir(below)
		root := filepath.Dir(filepath.Dir(below))
		for _, prefix := range []string{filepath.Join(root, ".tools", "node_modules"), filepath.Join(root, "node_modules")} {
			if !slices.ContainsFunc(npmDirs(), func(d string) bool { return strings.HasPrefix(d, prefix) }) {
				t.Errorf("%s is not searched", prefix)
			}
		}
	})
}

func TestContainerArguments(t *testing.T) {
	c := newContainer(Options{Settings: map[string]string{"max_wal_senders": "7"}})
	got := strings.Join(c.runArgs(15432), " ")
	for _, want := range []string{
		"--publish 127.0.0.1:15432:5432", "POSTGRES_HOST_AUTH_METHOD=trust", dockerImage + " -c",
		"-c wal_level=logical", "-c max_wal_senders=7", "-c fsync=off",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in: docker %s", want, got)
		}
	}
}
