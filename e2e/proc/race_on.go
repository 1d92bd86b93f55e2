//go:build race

package proc

// raceEnabled has the binary built with the race detector when the tests are.
const raceEnabled = true
