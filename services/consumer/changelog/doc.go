// Package changelog reads the change log.
package changelog
