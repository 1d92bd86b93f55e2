package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheGatewaysSecretsMayStandInFiles(t *testing.T) {
	file := func(text string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	g := parseAs(t, []string{"gateway"}, map[string]string{
		"SHAPEBUS_SECRET_FILE": file("of the proxy\n"), "SHAPEBUS_CONSOLE_SECRET_FILE": file("of the console"), "SHAPEBUS_CONSOLE_VIEWER_SECRET": "of viewers",
	}).Gateway
	a, err := g.access()
	full, viewer, consoleErr := g.secrets()
	if err != nil || consoleErr != nil || a.Secret != "of the proxy" || full != "of the console" || viewer != "of viewers" {
		t.Errorf("they are %q, %q and %q: %v, %v", a.Secret, full, viewer, err, consoleErr)
	}
	for name, of := range map[string]consoleFlags{
		"say the same": {ConsoleSecret: "a", ConsoleSecretFile: file("a")},
		"is empty":     {ConsoleSecretFile: file("\n")},
		"no such file": {ConsoleViewerSecretFile: filepath.Join(t.TempDir(), "none")},
	} {
		if _, _, err := of.secrets(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
