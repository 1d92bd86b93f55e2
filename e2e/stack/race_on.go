//go:build race

package stack

// slower is how many times as long everything takes with the race detector, where two tests share a core.
const slower = 5
