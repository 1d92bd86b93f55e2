package natsembed

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// logger passes the server's log to slog and keeps what the server calls fatal: for a server of its own process that is the
// moment to exit, here it becomes the error of Start.
type logger struct {
	log *slog.Logger // nil: quiet

	mu    sync.Mutex
	fatal error
}

func (l *logger) write(level slog.Level, format string, args []any) {
	ctx := context.Background()
	if l.log != nil && l.log.Enabled(ctx, level) {
		l.log.LogAttrs(ctx, level, "nats server", slog.String("text", fmt.Sprintf(format, args...)))
	}
}

// Fatalf keeps the first reason.
func (l *logger) Fatalf(format string, args ...any) {
	l.write(slog.LevelError, format, args)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf(format, args...)
	}
}

func (l *logger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// The names are the server's; a notice is what slog calls info, except that an embedded server's are of no interest to those
// who run Shapebus unless they debug it.

func (l *logger) Errorf(format string, args ...any)  { l.write(slog.LevelError, format, args) }
func (l *logger) Warnf(format string, args ...any)   { l.write(slog.LevelWarn, format, args) }
func (l *logger) Noticef(format string, args ...any) { l.write(slog.LevelDebug, format, args) }
func (l *logger) Debugf(format string, args ...any)  { l.write(slog.LevelDebug, format, args) }
func (l *logger) Tracef(format string, args ...any)  { l.write(slog.LevelDebug, format, args) }
