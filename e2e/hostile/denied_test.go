package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestWhatPostgresDeniesIsForbidden runs a consumer with a role that may read some tables, and not others.
func TestWhatPostgresDeniesIsForbidden(t *testing.T) {
	role := fmt.Sprintf("narrow_%08x", rand.Uint32())
	s := stack.New(t, fmt.Sprintf(`
		CREATE TABLE open (id int PRIMARY KEY); CREATE TABLE closed (id int PRIMARY KEY); CREATE TABLE guarded (id int PRIMARY KEY, owner text);
		ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON guarded USING (owner = current_user);
		CREATE ROLE %[1]s LOGIN PASSWORD 'right'; GRANT SELECT ON open, guarded TO %[1]s`, role))
	t.Cleanup(func() {
		if _, err := s.DB.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %s", role)); err != nil {
			t.Errorf("the role's rights stay: %v", err)
		}
		if _, err := s.DB.Exec(context.Background(), fmt.Sprintf("DROP ROLE %s", role)); err != nil {
			t.Errorf("the role stays: %v", err)
		}
	})
	s.StartIngest()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Skipf("the database's address is no URL: %v", err)
	}
	u.User = url.UserPassword(role, "right")
	s.Consumer.DatabaseURL = u.String()
	s.StartConsumer()
	for _, test := range []struct {
		def  client.Definition
		says string
	}{
		{client.Definition{Table: "closed"}, "GRANT"},
		{client.Definition{Table: "open", Where: "id IN (SELECT id FROM closed)"}, "GRANT"},
		{client.Definition{Table: "guarded"}, "ALTER ROLE \"" + role + "\" BYPASSRLS"},
		{client.Definition{Table: "open", Where: "id IN (SELECT id FROM guarded)"}, "BYPASSRLS"},
	} {
		_, err := s.Client.Create(t.Context(), test.def)
		if code(err) != control.CodeForbidden || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: code %s: %v", test.def, code(err), err)
		}
	}
}
