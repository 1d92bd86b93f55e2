package intake

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
)

// Schemas are the JSON schemas of a request and its answer, as metadata of an endpoint.
func Schemas(request, answer any) map[string]string {
	about := map[string]string{}
	for key, v := range map[string]any{"request_schema": request, "response_schema": answer} {
		if data, err := json.Marshal(schemaOf(reflect.TypeOf(v), nil)); err == nil {
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

// schemaOf describes what a type of package control looks like in JSON. inside are the types that it is a part of: one that
// has parts of its own kind is not described again.
func schemaOf(t reflect.Type, inside []reflect.Type) map[string]any {
	if format, ok := asText[t]; ok {
		return map[string]any{"type": "string", "format": format}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := schemaOf(t.Elem(), inside)
		s["type"] = []any{s["type"], "null"}
		return s
	case reflect.Struct:
		if slices.Contains(inside, t) {
			return map[string]any{"type": "object", "title": t.Name()}
		}
		inside = append(slices.Clone(inside), t)
		properties, required := map[string]any{}, []string{}
		for _, f := range reflect.VisibleFields(t) {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" {
				continue
			}
			properties[name] = schemaOf(f.Type, inside)
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
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), inside)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), inside)}
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
