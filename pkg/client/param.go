package client

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// paramOf is the value of a parameter as Postgres reads it, nil for NULL. A slice is an array, and one that is nil NULL.
func paramOf(v any) (*string, error) {
	switch v := v.(type) {
	case time.Time:
		return new(v.UTC().Format(time.RFC3339Nano)), nil
	case float64:
		return new(strconv.FormatFloat(v, 'g', -1, 64)), nil
	case float32:
		return new(strconv.FormatFloat(float64(v), 'g', -1, 32)), nil
	case []string, []int, []int32, []int64, []float64, []bool:
		return arrayOf(reflect.ValueOf(v))
	}
	return textOf(v)
}

// arrayOf writes an array as Postgres does, with every element in quotes.
func arrayOf(slice reflect.Value) (*string, error) {
	if slice.IsNil() {
		return nil, nil
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	elements := make([]string, slice.Len())
	for i := range elements {
		text, err := paramOf(slice.Index(i).Interface())
		if err != nil {
			return nil, err
		}
		elements[i] = `"` + quote.Replace(*text) + `"`
	}
	return new("{" + strings.Join(elements, ",") + "}"), nil
}
