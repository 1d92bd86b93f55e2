package plane

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
)

// schemas are the JSON schemas of a request and its answer, as metadata of an endpoint.
func schemas(request, answer any) map[string]string {
	about := map[string]string{}
	for key, v := range map[string]any{"request_schema": request, "response_schema": answer} {
		if data, err := json.Marshal(schemaOf(reflect.TypeOf(v))); err == nil {
			about[key] = string(data)
		}
	}
	return about
}

// asText are types whose JSON is a string.
var asText = map[reflect.Type]string{
	reflect.TypeFor[time.Time]():     "date-time",
	reflect.TypeFor[change.LSN]():    "lsn",
	reflect.TypeFor[change.Offset](): "offset",
}

// schemaOf describes what a type of package control looks like in JSON.
func schemaOf(t reflect.Type) map[string]any {
	if format, ok := asText[t]; ok {
		return map[string]any{"type": "string", "format": format}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := schemaOf(t.Elem())
		s["type"] = []any{s["type"], "null"}
		return s
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		for _, f := range reflect.VisibleFields(t) {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" {
				continue
			}
			properties[name] = schemaOf(f.Type)
			if !strings.Contains(options, "omit") {
				required = append(required, name)
			}
		}
		s := map[string]any{"type": "object", "properties": properties}
		if len(required) > 0 {
			s["required"] = required
		}
		return s
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float64, reflect.Float32:
		return map[string]any{"type": "number"}
	default:
		return map[string]any{"type": "integer"}
	}
}
