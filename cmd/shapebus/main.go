// Command shapebus is the one binary of Shapebus: the services, a development set-up in one process, and the control plane
// from a terminal. Flags win over environment variables (SHAPEBUS_<FLAG>), those over defaults.
//
// Only this package knows flags, the environment, signals and exit codes:
//
//	0  done, or stopped as asked
//	1  failed; the text says what to do
//	2  wrong usage: a command, flag or SHAPEBUS_ variable that does not exist or does not parse
//
// The first SIGINT or SIGTERM stops softly (what is in hand is finished and confirmed), the second at once.
package main

import "os"

// version is set by the linker in releases; see versionText.
var version string

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
