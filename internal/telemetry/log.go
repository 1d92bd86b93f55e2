package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// Formats of a log.
const (
	FormatAuto = "auto" // text on a terminal, JSON elsewhere
	FormatText = "text"
	FormatJSON = "json"
)

// LogConfig says how to log.
type LogConfig struct {
	Writer   io.Writer // where to; one Write per record
	Terminal bool      // whether Writer is a terminal, for FormatAuto
	Format   string    // a Format constant; "" means FormatAuto
	Level    string    // debug, info, warn or error; "" means info
}

// JSON reports whether the log is written as JSON.
func (c LogConfig) JSON() bool {
	return c.Format == FormatJSON || c.Format != FormatText && !c.Terminal
}

// Logger returns a logger with the configuration c. Times are in UTC; text
// for a person at a terminal carries the time of day only.
func Logger(c LogConfig) (*slog.Logger, error) {
	var level slog.Level
	if c.Level != "" {
		if err := level.UnmarshalText([]byte(c.Level)); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", c.Level)
		}
	}
	switch c.Format {
	case "", FormatAuto, FormatText, FormatJSON:
	default:
		return nil, fmt.Errorf("log format %q: want auto, text or json", c.Format)
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: replaceTime(c)}
	if c.JSON() {
		return slog.New(slog.NewJSONHandler(c.Writer, opts)), nil
	}
	return slog.New(slog.NewTextHandler(c.Writer, opts)), nil
}

// replaceTime shortens the record's own time where a person watches, and puts it in UTC elsewhere.
func replaceTime(c LogConfig) func([]string, slog.Attr) slog.Attr {
	short := c.Terminal && !c.JSON()
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 || a.Key != slog.TimeKey || a.Value.Kind() != slog.KindTime {
			return a
		}
		if short {
			return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
		}
		return slog.Time(slog.TimeKey, a.Value.Time().UTC())
	}
}
