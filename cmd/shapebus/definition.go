package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/client"
)

// definitionFlags are what makes a shape, besides its table.
type definitionFlags struct {
	Where     string   `env:"-" placeholder:"SQL" help:"Rows to keep, as SQL would say it after WHERE; see docs/PREDICATES.md. Default: every row."`
	WhereFile string   `env:"-" type:"path" placeholder:"FILE" help:"File that holds --where. Default none."`
	Param     []string `env:"-" sep:"none" placeholder:"VALUE" help:"Value of $1, $2, … in --where; repeat it in their order. Default none."`
	Columns   []string `env:"-" placeholder:"A,B,…" help:"Columns to keep, comma-separated; the key must be among them. Default: all."`
}

func (f *definitionFlags) given() bool {
	return f.Where != "" || f.WhereFile != "" || len(f.Param) > 0 || len(f.Columns) > 0
}

// create finds or makes the shape of a table that the flags describe.
func (f *definitionFlags) create(ctx context.Context, cl *client.Client, table string) (*client.Shape, error) {
	def := client.Definition{Table: table, Columns: f.Columns, Where: f.Where}
	for _, p := range f.Param {
		def.Params = append(def.Params, p)
	}
	if f.WhereFile != "" {
		if f.Where != "" {
			return nil, &usageError{text: "--where and --where-file exclude each other"}
		}
		data, err := os.ReadFile(f.WhereFile)
		if err != nil {
			return nil, fmt.Errorf("--where-file: %w", err)
		}
		def.Where = strings.TrimSpace(string(data))
	}
	s, err := cl.Create(ctx, def)
	if errors.Is(err, nats.ErrMaxPayload) {
		return nil, fmt.Errorf("the where clause and its parameters have %s, more than NATS takes in one message; shorten them, the limit of a clause is 64 KiB",
			term.Size(int64(len(def.Where)+len(strings.Join(f.Param, "")))))
	}
	return s, err
}
