package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/term"
)

// report is what check found out about one side.
type report struct {
	Title    string              `json:"title"` // "Postgres" or "NATS"
	Address  string              `json:"address"`
	Findings []preflight.Finding `json:"findings"`
}

func okay(name, detail string, args ...any) preflight.Finding {
	return preflight.Finding{Name: name, OK: true, Level: preflight.LevelOK, Detail: fmt.Sprintf(detail, args...)}
}

func warning(name, fix, detail string, args ...any) preflight.Finding {
	return preflight.Finding{Name: name, OK: true, Level: preflight.LevelWarn, Fix: fix, Detail: fmt.Sprintf(detail, args...)}
}

func failure(name, fix, detail string, args ...any) preflight.Finding {
	return preflight.Finding{Name: name, Level: preflight.LevelFail, Fix: fix, Detail: fmt.Sprintf(detail, args...)}
}

// failures counts what has to be fixed.
func failures(reports []report) int {
	n := 0
	for _, r := range reports {
		for _, f := range r.Findings {
			if !f.OK {
				n++
			}
		}
	}
	return n
}

func printReports(w io.Writer, reports []report, p term.Palette) error {
	for _, r := range reports {
		if _, err := fmt.Fprintf(w, "%s  %s\n", p.Bold(r.Title), term.Printable(r.Address)); err != nil {
			return err
		}
		for _, f := range r.Findings {
			mark := p.Green("ok  ")
			switch f.Level {
			case preflight.LevelWarn:
				mark = p.Yellow("warn")
			case preflight.LevelFail:
				mark = p.Red("FAIL")
			case preflight.LevelOK:
			}
			if _, err := fmt.Fprintf(w, "  %s  %-24s %s\n", mark, f.Name, term.Printable(f.Detail)); err != nil {
				return err
			}
			if f.Fix != "" {
				if _, err := fmt.Fprintf(w, "        %-24s → %s\n", "", term.Printable(f.Fix)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// printJSON prints one value, indented, as a document of its own.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
