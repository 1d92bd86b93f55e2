package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/control"
)

// hostile is text that clears a terminal.
const hostile = "a\x1b[2Jb"

// spoil makes every text in a value hostile, and every list one element long.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				spoil(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		spoil(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		spoil(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		spoil(key)
		spoil(value)
		v.SetMapIndex(key, value)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	default:
	}
}

func spoiled[T any]() T {
	var out T
	spoil(reflect.ValueOf(&out).Elem())
	return out
}

func TestWhatIsStoredDoesNotDriveTheTerminal(t *testing.T) {
	shape, status, top, findings := spoiled[control.Shape](), spoiled[control.Status](), spoiled[control.TopResponse](), spoiled[report]()
	findings.Title, findings.Findings[0].Name = "NATS", "server" // these are ours
	unslotted := spoiled[control.Status]()
	unslotted.SlotError = ""
	typed := control.Shape{Columns: []control.Column{{Name: "mood", TypeName: hostile}}}
	for name, show := range map[string]func(*bytes.Buffer) error{
		"shape get":                      func(b *bytes.Buffer) error { return printShape(b, shape) },
		"shape get, the name of a type":  func(b *bytes.Buffer) error { return printShape(b, typed) },
		"shape list":                     func(b *bytes.Buffer) error { return printShapes(b, []control.Shape{shape}) },
		"shape top":                      func(b *bytes.Buffer) error { return printTop(b, top) },
		"status":                         func(b *bytes.Buffer) error { return printStatus(b, status) },
		"status, of a slot that is lost": func(b *bytes.Buffer) error { return printStatus(b, unslotted) },
		"check":                          func(b *bytes.Buffer) error { return printReports(b, []report{findings}, term.Palette{}) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := show(&b); err != nil {
				t.Fatal(err)
			}
			if text := strings.ReplaceAll(b.String(), "\n", ""); strings.ContainsFunc(text, term.IsControl) || !strings.Contains(text, `a\x1b[2Jb`) {
				t.Errorf("it prints %q", b.String())
			}
		})
	}
}

func TestErrorsDoNotDriveTheTerminal(t *testing.T) {
	err := fmt.Errorf("the shape has ended: %s\nand more", hostile)
	if got, want := printableLines(err), "the shape has ended: a\\x1b[2Jb\nand more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
