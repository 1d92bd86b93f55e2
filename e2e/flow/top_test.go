package flow

import (
	"errors"
	"fmt"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestTheShapesThatCostMostAreNamed has one shape judge much and write little, and one the other way round, among many that
// cost little; two consumers share them, and any of them knows of all.
func TestTheShapesThatCostMostAreNamed(t *testing.T) {
	t.Parallel()
	s := stack.New(t, "CREATE TABLE docs (id int PRIMARY KEY, body text)")
	s.StartIngest()
	s.StartMember()
	s.StartMember()
	busy := s.Create(client.Definition{Table: "docs", Where: "lower(body) LIKE '%x_y%z_q%' OR body ILIKE '%never_%there%'"})
	wide := s.Create(client.Definition{Table: "docs", Where: "id > 0"})
	for i := range 20 {
		s.Create(client.Definition{Table: "docs", Where: fmt.Sprintf("id = -%d", i+1)})
	}
	s.Exec("INSERT INTO docs SELECT i, repeat('x1y ', 3000) FROM generate_series(1, 200) i")
	s.Verify(busy, wide)

	ask := func(by, what string, ok func(control.TopResponse) bool) {
		t.Helper()
		var top control.TopResponse
		s.Until(what, func() (yes bool, err error) {
			top, err = s.Client.Top(t.Context(), by, 2)
			return err == nil && ok(top), err
		}, func() string { return fmt.Sprintf("%+v", top) })
	}
	ask("", "the one that judges most is first", func(top control.TopResponse) bool {
		return len(top.Silent) == 0 && len(top.Shapes) > 0 && len(top.Shapes) <= 2 && top.Shapes[0].Handle == busy.Handle() &&
			top.Shapes[0].CPU > 0 && top.Shapes[0].CPU <= top.CPU && top.Shapes[0].Table == "docs" && top.Shapes[0].State == control.StateLive
	})
	ask(control.TopBytes, "the one that writes most is first", func(top control.TopResponse) bool {
		return len(top.Shapes) > 0 && top.Shapes[0].Handle == wide.Handle() && top.Shapes[0].BytesPerSecond > 0 && top.Shapes[0].LogBytes > 200*12_000 && top.Shapes[0].Rows == 200
	})
	for by, limit := range map[string]int{"log": 1, control.TopCPU: 51} {
		var refused *client.RequestError
		if _, err := s.Client.Top(t.Context(), by, limit); !errors.As(err, &refused) || refused.Code != control.CodeBadRequest {
			t.Errorf("by %s, limit %d: %v", by, limit, err)
		}
	}
}
