package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	tty "golang.org/x/term"

	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/internal/term"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// console is what commands print to and log through.
type console struct {
	stdout, stderr       *os.File
	stdoutTTY, stderrTTY bool
	color                bool // whether stdout shows colours
	log                  *slog.Logger
}

// logFlags say how to log.
type logFlags struct {
	Level  string `default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error (default ${default})."`
	Format string `default:"auto" enum:"auto,text,json" help:"Format of the log on stderr: text, json, or auto, which is text on a terminal and JSON elsewhere (default ${default})."`
}

// usageError is wrong usage that the parser cannot see.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// run is main without the process: it parses args, does what they say and returns the exit code.
func run(args []string, stdout, stderr *os.File) int {
	var c cli
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "shapebus: the command tree is wrong: %v\n", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if err == nil {
		err = checkEnvironment(parser.Model, os.Environ())
	}
	if err == nil {
		err = checkRestrictions(parsed)
	}
	if err != nil {
		return usage(stderr, err)
	}
	out, err := newConsole(c.Log, stdout, stderr)
	if err != nil {
		return usage(stderr, err)
	}
	warnOfVisibleSecrets(out.log, parsed)

	ctx, stop := withSignals(context.Background(), out.log)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(out)
	switch wrong, isUsage := errors.AsType[*usageError](err); {
	case err == nil:
		return exitOK
	case isUsage:
		return usage(stderr, wrong)
	case errors.Is(err, errReported):
		return exitFailed
	}
	fmt.Fprintf(stderr, "shapebus: %s\n", printableLines(err))
	return exitFailed
}

// printableLines is an error's text, which may quote what others wrote, safe to show.
func printableLines(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = term.Printable(line)
	}
	return strings.Join(lines, "\n")
}

func newConsole(flags logFlags, stdout, stderr *os.File) (*console, error) {
	out := &console{stdout: stdout, stderr: stderr, stdoutTTY: isTerminal(stdout), stderrTTY: isTerminal(stderr)}
	out.color = out.stdoutTTY && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	var err error
	out.log, err = telemetry.Logger(telemetry.LogConfig{Writer: stderr, Terminal: out.stderrTTY, Format: flags.Format, Level: flags.Level})
	return out, err
}

func isTerminal(f *os.File) bool { return tty.IsTerminal(int(f.Fd())) }

// usage says what is wrong with the command line and where to read on.
func usage(stderr *os.File, err error) int {
	where := "shapebus --help"
	if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context.Selected() != nil {
		where = "shapebus " + parse.Context.Selected().Path() + " --help"
	}
	fmt.Fprintf(stderr, "shapebus: %v\nTry: %s\n", err, where)
	return exitUsage
}

// secretFlags carry secrets: everybody who may list processes can read them on a command line.
var secretFlags = []string{"nats-password", "database-url", "nats-url"}

func warnOfVisibleSecrets(log *slog.Logger, parsed *kong.Context) {
	for _, p := range parsed.Path {
		if p.Flag == nil || p.Resolved || !slices.Contains(secretFlags, p.Flag.Name) {
			continue
		}
		text, ok := parsed.FlagValue(p.Flag).(string)
		if ok && (p.Flag.Name == "nats-password" || holdsPassword(text)) {
			log.Warn("a secret on the command line can be read by everybody who may list processes; give it by environment variable or file",
				slog.String("flag", "--"+p.Flag.Name), slog.String("instead", p.Flag.Envs[0]+" or --"+p.Flag.Name+"-file"))
		}
	}
}
