// Package registry stores what JetStream must remember besides the logs: the
// source's record, the shapes, table schemas by fingerprint, and who owns the
// partitions. Everything is in key-value buckets that package topology names;
// changes are compare-and-set, so two processes cannot undo each other's.
package registry
