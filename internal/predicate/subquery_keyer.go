package predicate

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/predicate/value"
	"github.com/shapebus/shapebus/internal/valueset"
)

// Keyer makes the keys of value sets: equal for values that Postgres finds
// equal, whatever their text. Safe for concurrent use.
type Keyer struct{ kinds []value.Kind }

// NewKeyer returns a Keyer for values of columns of these types (pg_type
// oids). A type whose equality is not known here is an error.
func NewKeyer(types []uint32) (*Keyer, error) {
	k := &Keyer{}
	for _, oid := range types {
		kd, ok := value.KindOfOID(oid)
		if !ok || kd == value.Opaque || !kd.HasKey() {
			return nil, fmt.Errorf("values of type oid %d cannot be looked up in a set", oid)
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
