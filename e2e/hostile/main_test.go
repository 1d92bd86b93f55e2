// Package hostile asks the control plane for what nobody should ask for, and watches meanwhile that
// other shapes do not notice.
package hostile

import (
	"os"
	"testing"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
