package pg

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// WrongSettings are the settings of a session that are not as ParseConfig asked for when it was opened, each with its value:
// a pooler on the way that ignores start-up parameters, or gives a session of somebody else.
func WrongSettings(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, "SELECT lower(name), current_setting(name) FROM pg_catalog.pg_settings WHERE lower(name) = ANY ($1)", settingNames())
	if err != nil {
		return nil, fmt.Errorf("read the settings of the session: %w", err)
	}
	var wrong []string
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		for asked, want := range sessionSettings {
			if strings.EqualFold(asked, name) && value != want {
				wrong = append(wrong, fmt.Sprintf("%s is %q and not %q", asked, value, want))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the settings of the session: %w", err)
	}
	slices.Sort(wrong)
	return wrong, nil
}

func settingNames() []string {
	names := make([]string, 0, len(sessionSettings))
	for name := range sessionSettings {
		names = append(names, strings.ToLower(name))
	}
	return names
}
