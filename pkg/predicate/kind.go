package predicate

// kind is a Postgres type of the where language.
type kind uint8

const (
	kindUnknown kind = iota // an untyped literal or parameter: takes its type from the other operand
	kindBool
	kindInt2
	kindInt4
	kindInt8
	kindNumeric
	kindFloat4
	kindFloat8
	kindText
	kindVarchar
	kindBpchar
	kindUUID
	kindDate
	kindTimestamp
	kindTimestamptz
	kindOpaque // a column that can only be tested for NULL
)

// String returns the name Postgres uses in its messages; it is also valid in a cast.
func (k kind) String() string {
	switch k {
	case kindBool:
		return "boolean"
	case kindInt2:
		return "smallint"
	case kindInt4:
		return "integer"
	case kindInt8:
		return "bigint"
	case kindNumeric:
		return "numeric"
	case kindFloat4:
		return "real"
	case kindFloat8:
		return "double precision"
	case kindText:
		return "text"
	case kindVarchar:
		return "character varying"
	case kindBpchar:
		return "bpchar"
	case kindUUID:
		return "uuid"
	case kindDate:
		return "date"
	case kindTimestamp:
		return "timestamp without time zone"
	case kindTimestamptz:
		return "timestamp with time zone"
	default: // kindUnknown; a kindOpaque column is named by its own type
		return "unknown"
	}
}

func (k kind) isInt() bool    { return k == kindInt2 || k == kindInt4 || k == kindInt8 }
func (k kind) isFloat() bool  { return k == kindFloat4 || k == kindFloat8 }
func (k kind) isNumber() bool { return k >= kindInt2 && k <= kindFloat8 }
func (k kind) isText() bool   { return k == kindText || k == kindVarchar || k == kindBpchar }
func (k kind) isTime() bool   { return k == kindDate || k == kindTimestamp || k == kindTimestamptz }

// kindOfOID maps a column's type. Types that only NULL tests can read are opaque; ok is false for the rest: composite
// types (whose IS NULL looks inside), domains and enums, which cannot be told apart by their OID.
func kindOfOID(oid uint32) (k kind, ok bool) {
	switch oid {
	case 16:
		return kindBool, true
	case 21:
		return kindInt2, true
	case 23:
		return kindInt4, true
	case 20:
		return kindInt8, true
	case 1700:
		return kindNumeric, true
	case 700:
		return kindFloat4, true
	case 701:
		return kindFloat8, true
	case 25:
		return kindText, true
	case 1043:
		return kindVarchar, true
	case 1042:
		return kindBpchar, true
	case 2950:
		return kindUUID, true
	case 1082:
		return kindDate, true
	case 1114:
		return kindTimestamp, true
	case 1184:
		return kindTimestamptz, true
	case 17, 18, 19, 26, 114, 142, 3802, // bytea "char" name oid json xml jsonb
		1083, 1266, 1186, // time timetz interval
		790, 829, 774, 650, 869, 1560, 1562, // money macaddr macaddr8 cidr inet bit varbit
		600, 601, 602, 603, 604, 628, 718, 3614, 3615, // geometric types, tsvector, tsquery
		1000, 1005, 1007, 1016, 1231, 1021, 1022, 1009, 1015, 1014, // arrays of the types above
		2951, 1182, 1115, 1185, 1001, 199, 3807, 1183, 1270, 1187:
		return kindOpaque, true
	}
	return kindUnknown, false
}

// kindOfName maps the type name of a cast, as the grammar spells it.
func kindOfName(name string) (k kind, ok bool) {
	switch name {
	case "bool":
		return kindBool, true
	case "int2":
		return kindInt2, true
	case "int4":
		return kindInt4, true
	case "int8":
		return kindInt8, true
	case "numeric":
		return kindNumeric, true
	case "float4":
		return kindFloat4, true
	case "float8":
		return kindFloat8, true
	case "text":
		return kindText, true
	case "varchar":
		return kindVarchar, true
	case "bpchar":
		return kindBpchar, true
	case "uuid":
		return kindUUID, true
	case "date":
		return kindDate, true
	case "timestamp":
		return kindTimestamp, true
	case "timestamptz":
		return kindTimestamptz, true
	}
	return kindUnknown, false
}

// commonKind is Postgres' select_common_type for the members of an IN list: the type all are converted to before they
// are compared. Untyped members do not count; ok is false if the types have nothing in common.
func commonKind(kinds []kind) (k kind, ok bool) {
	for _, next := range kinds {
		switch {
		case next == kindUnknown || next == k:
		case k == kindUnknown:
			k = next
		case k.isNumber() && next.isNumber(), k.isTime() && next.isTime():
			k = max(k, next) // both are declared in the order of their implicit casts
		case k.isText() && next.isText(): // castable both ways: the first one stays
		default:
			return kindUnknown, false
		}
	}
	if k == kindUnknown {
		k = kindText
	}
	return k, true
}
