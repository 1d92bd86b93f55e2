package pg

import "fmt"

// DiffFiles says in words which leaf of a partitioned table has another file than it had, "" if
// none has. A TRUNCATE of a leaf makes a new file, and Postgres tells the stream nothing of it,
// as the publication carries the root. But the TRUNCATE of the root, which is in the stream, makes new files as
// well: explained reports whether the transaction that wrote a leaf's file into the catalog did
// that. Tables that differ otherwise are for Diff.
func (t *TableInfo) DiffFiles(now *TableInfo, explained func(xid string) bool) string {
	had := make(map[uint32]uint32, len(t.Partitions))
	for _, p := range t.Partitions {
		had[p.OID] = p.File
	}
	for _, p := range now.Partitions {
		if file, ok := had[p.OID]; ok && file != p.File && !explained(p.Filed) {
			return fmt.Sprintf("partition %s of %s was truncated or packed by itself, which Postgres does not replicate", Display(p.Schema, p.Name), t)
		}
	}
	return ""
}

// Files names the files of the leaves; "" for a plain table.
func (t *TableInfo) Files() string {
	if len(t.Partitions) == 0 {
		return ""
	}
	d := newDigest()
	for _, p := range t.Partitions {
		d.write(number(p.OID), number(p.File))
	}
	return d.String()
}
