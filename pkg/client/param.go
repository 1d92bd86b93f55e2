package client

import (
	"encoding/json"
	"reflect"
	"strconv"
	"time"
)

// paramOf is the value of a parameter as the control plane takes it, nil for NULL. A slice becomes an array in JSON, and one
// that is nil NULL.
func paramOf(v any) (*string, error) {
	switch v := v.(type) {
	case time.Time:
		return new(v.UTC().Format(time.RFC3339Nano)), nil
	case float64:
		return new(strconv.FormatFloat(v, 'g', -1, 64)), nil
	case float32:
		return new(strconv.FormatFloat(float64(v), 'g', -1, 32)), nil
	case []string, []int, []int32, []int64, []float64, []bool:
		if reflect.ValueOf(v).IsNil() {
			return nil, nil
		}
		text, err := json.Marshal(v)
		return new(string(text)), err
	}
	return textOf(v)
}
