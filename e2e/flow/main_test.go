// Package flow tests the way of rows from Postgres to shape logs with every
// service in one process, real Postgres and real JetStream.
package flow

import (
	"os"
	"testing"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
