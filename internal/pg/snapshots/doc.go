// Package snapshots opens snapshots of the database and reads tables in them by COPY, in bounded
// memory. A snapshot says where it stands in the WAL and what it sees, so that its rows and the
// replication stream can be put together exactly.
//
// It reads a table only as it was looked up: a table that was rewritten, truncated or changed since
// is refused with pg.ErrSnapshotStale or *pg.ChangedError.
package snapshots
