// Package pgtemp runs a throw-away Postgres: for `shapebus dev` without a database, for the demo and for tests.
//
// It takes the newest binaries it finds on the machine (see [Options.BinDir]) and falls back to a Docker container. The
// server listens on loopback only, trusts everybody who can reach it there, has wal_level=logical and, unless asked
// otherwise, does not fsync: what it commits survives the death of its processes but not of the machine.
//
// A local server has four rules:
//   - Postgres refuses to run as root, so root starts it as the user postgres, else nobody.
//   - synchronous_commit stays on. The walsender sends only flushed WAL, and without it a commit waits up to 400 ms for the
//     walwriter before it reaches a logical replication client.
//   - There is no Unix socket. Its path may have 107 bytes at most, which long temporary directories exceed.
//   - Everything it writes is in its directory, so that removing this directory removes the server, crashed or not.
//
// A process that is killed cannot stop its server. On Linux the server then ends by itself; its directory is removed by the next
// Start on the machine.
//
// The package refuses to run a database that somebody wants to keep: no passwords, no TLS, no upgrades, no backups.
package pgtemp
