//go:build !race

package stack

// slower is how many times as long everything takes with the race detector.
const slower = 1
