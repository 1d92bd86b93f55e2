package gateway

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Which rows of a shape come tells what is in the tables of its subqueries, so these have to be allowed as well.
func TestSubqueriesSelectFromAllowedTablesOnly(t *testing.T) {
	limited, err := newGate(Access{Tables: []string{"tasks", "projects"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	open, err := newGate(Access{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tokens := func(more ...grant) *principal {
		return &principal{gate: open, grants: append([]grant{{Table: "tasks"}}, more...)}
	}
	const secrets = "id IN (SELECT task_id FROM secrets WHERE level > 3)"
	for name, tt := range map[string]struct {
		who     *principal
		where   string
		allowed bool
	}{
		"no rules":                      {&principal{gate: open}, secrets, true},
		"no subquery":                   {&principal{gate: limited}, "id > 3", true},
		"an allowed table":              {&principal{gate: limited}, "project_id IN (SELECT id FROM projects)", true},
		"one by its schema":             {&principal{gate: limited}, "project_id IN (SELECT id FROM public.projects)", true},
		"another table":                 {&principal{gate: limited}, secrets, false},
		"another schema":                {&principal{gate: limited}, "project_id IN (SELECT id FROM hidden.projects)", false},
		"nested":                        {&principal{gate: limited}, "project_id IN (SELECT id FROM projects WHERE id IN (SELECT task_id FROM secrets))", false},
		"below EXISTS":                  {&principal{gate: limited}, "NOT EXISTS (SELECT 1 FROM secrets WHERE task_id = tasks.id)", false},
		"no clause":                     {&principal{gate: limited}, "id IN (", false},
		"a token that does not say so":  {tokens(), secrets, false},
		"a token for all of it":         {tokens(grant{Table: "secrets"}), secrets, true},
		"a token for some of its rows":  {tokens(grant{Table: "secrets", Where: "mine"}), secrets, false},
		"a token for one of its fields": {tokens(grant{Table: "secrets", Columns: []string{"task_id"}}), secrets, false},
	} {
		d := protocol.Definition{Schema: "public", Table: "tasks", Where: tt.where}
		if err := tt.who.bind(&d); (err == nil) != tt.allowed {
			t.Errorf("%s: %v, want it allowed: %t", name, err, tt.allowed)
		}
	}
	// The condition of a grant is who made the token's.
	narrowed := &principal{gate: open, grants: []grant{{Table: "tasks", Where: secrets}}}
	d := protocol.Definition{Schema: "public", Table: "tasks", Where: "done"}
	if err := narrowed.bind(&d); err != nil {
		t.Error(err)
	}
	d = protocol.Definition{Schema: "public", Table: "secrets"}
	if err := narrowed.bind(&d); !errors.Is(err, errForbidden) {
		t.Errorf("%v, want %v", err, errForbidden)
	}
}
