package predicate

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/predicate/value"
	"github.com/shapebus/shapebus/internal/valueset"
)

// Keyer makes the keys of value sets: equal for values that Postgres finds
// equal, whatever their text. Safe for concurrent use.
type Keyer struct{ kinds []value.Kind }

// NewKeyer returns a Keyer for values of columns of these types. A type whose equality is not known here is an error.
func NewKeyer(columns []Column) (*Keyer, error) {
	k := &Keyer{}
	for _, c := range columns {
		kd, ok := value.KindOfOID(c.TypeOID)
		if !ok && c.Enum != nil {
			kd, ok = value.Enum, true
		}
		if !ok || !kd.HasKey() {
			return nil, fmt.Errorf("values of type %s cannot be looked up in a set", c.typeName())
		}
		k.kinds = append(k.kinds, kd)
	}
	return k, nil
}

// Append appends the key of a value, whose cells hold Postgres' text.
func (k *Keyer) Append(key []byte, cells ...[]byte) []byte {
	for i, c := range cells {
		key = valueset.AppendComponent(key, value.CanonicalText(k.kinds[i], c))
	}
	return key
}
