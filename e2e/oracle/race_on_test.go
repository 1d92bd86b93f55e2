//go:build race

package oracle

// raceEnabled has the binary built with the race detector when the tests are.
const raceEnabled = true
