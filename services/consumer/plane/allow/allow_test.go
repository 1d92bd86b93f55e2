package allow

import (
	"errors"
	"testing"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

func TestWhichTablesMayBeAskedFor(t *testing.T) {
	for _, test := range []struct {
		patterns      []string
		schema, table string
		ok            bool
	}{
		{nil, "any", "table", true},
		{[]string{"*"}, "any", "table", true},
		{[]string{"tasks"}, "public", "tasks", true},
		{[]string{"tasks"}, "public", "tasks2", false},
		{[]string{"tasks"}, "app", "tasks", false},
		{[]string{"app.*"}, "app", "tasks", true},
		{[]string{"app.*"}, "application", "tasks", false},
		{[]string{"app*.*_public", "public.tasks"}, "app2", "a_public", true},
		{[]string{"app*.*_public", "public.tasks"}, "app2", "a_public2", false},
		{[]string{"app*.*_public", "public.tasks"}, "public", "tasks", true},
		{[]string{"public.a*b*c"}, "public", "aXbbYc", true},
		{[]string{"public.a*b*c"}, "public", "aXbbYcd", false},
		{[]string{"public.My Table"}, "public", "My Table", true},
		{[]string{"public.my.table"}, "public", "my.table", true},
	} {
		a, err := Parse(test.patterns)
		if err != nil {
			t.Fatal(err)
		}
		err = a.Check(test.schema, test.table)
		var refused *refuse.Error
		if (err == nil) != test.ok || err != nil && (!errors.As(err, &refused) || refused.Code != control.CodeForbidden) {
			t.Errorf("%q, %s.%s: %v", test.patterns, test.schema, test.table, err)
		}
	}
	for _, wrong := range []string{"", ".", "app.", ".tasks"} {
		if _, err := Parse([]string{wrong}); err == nil {
			t.Errorf("%q is taken for a pattern", wrong)
		}
	}
}
