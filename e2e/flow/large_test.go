package flow

import (
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// TestAMembershipChangesWithinALargeTransaction: the shape has written some of
// the transaction when it learns that a set changes in it.
func TestAMembershipChangesWithinALargeTransaction(t *testing.T) {
	s := stack.Start(t, projectSchema)
	shape := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	s.Verify(shape)
	s.Exec(`BEGIN;
		INSERT INTO tasks SELECT g, 1 + g % 10, false, repeat('large', 12) FROM generate_series(1001, 101000) g;
		UPDATE projects SET active = NOT active WHERE id < 4;
		INSERT INTO tasks SELECT g, 1 + g % 10, false, repeat('large', 12) FROM generate_series(101001, 201000) g;
		COMMIT`)
	s.Verify(shape)
}
