// Package examples runs the programs under examples/ as an app is run: as processes that are
// killed, while transactions commit.
package examples
