// Package catalog tells stories of tables that change under their shapes, also such as change and
// change back. Afterwards each shape equals its SELECT or has ended with a reason.
package catalog

import (
	"os"
	"testing"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
