package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/change"
)

// recvlogical finds pg_recvlogical beside the server's binaries, else in the PATH.
func (l *lab) recvlogical(ctx context.Context) (string, error) {
	var dir string
	if err := l.db.QueryRow(ctx, "SELECT setting FROM pg_config WHERE name = 'BINDIR'").Scan(&dir); err != nil {
		return "", fmt.Errorf("ask Postgres for the directory of its programs: %w", err)
	}
	if path, err := exec.LookPath(filepath.Join(dir, "pg_recvlogical")); err == nil {
		return path, nil
	}
	path, err := exec.LookPath("pg_recvlogical")
	if err != nil {
		return "", fmt.Errorf("the floor is measured with pg_recvlogical, and it is neither in %s nor in the PATH; "+
			"install Postgres' client programs (apt-get install postgresql-client), or set PG_BIN to a directory with all of Postgres", dir)
	}
	return path, nil
}

// startFloor starts what does the least that can be done with a slot: take what the walsender sends, up to end, and drop it.
func (l *lab) startFloor(program, slot, publication string, end change.LSN) (*process, error) {
	return l.start(proc.Options{Name: "pg_recvlogical", Path: program, Args: []string{
		"--dbname", l.url, "--slot", slot, "--start", "--file", "/dev/null", "--no-loop",
		"--endpos", end.String(), "--option", "proto_version=1", "--option", "publication_names=" + publication,
	}}, false)
}

// exitError is nil if the process ended well.
func (p *process) exitError() error {
	if _, err := p.Ended(); err != nil {
		return fmt.Errorf("%s: %w; its last words:\n%s", p.Name, err, p.Log.Tail())
	}
	return nil
}
