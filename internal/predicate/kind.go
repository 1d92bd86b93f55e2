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
	kindTime
	kindInterval
	kindJSONB
	kindEnum   // which enum is in column.enum or scalar.enum; only values of one enum meet
	kindOpaque // a column that can only be tested for NULL

	// kindArray marks an array of the kind in the other bits.
	kindArray kind = 0x40
)

func (k kind) isArray() bool { return k&kindArray != 0 }

// element is the kind of an array's elements.
func (k kind) element() kind { return k &^ kindArray }

// String returns the name Postgres uses in its messages; it is also valid in a cast.
func (k kind) String() string {
	if k.isArray() {
		return k.element().String() + "[]"
	}
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
	case kindTime:
		return "time without time zone"
	case kindInterval:
		return "interval"
	case kindJSONB:
		return "jsonb"
	case kindEnum:
		return "enum"
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
	case 1083:
		return kindTime, true
	case 1186:
		return kindInterval, true
	case 3802:
		return kindJSONB, true
	case 17, 18, 19, 26, 114, 142, // bytea "char" name oid json xml
		1266,                                // timetz
		790, 829, 774, 650, 869, 1560, 1562, // money macaddr macaddr8 cidr inet bit varbit
		600, 601, 602, 603, 604, 628, 718, 3614, 3615, // geometric types, tsvector, tsquery
		1001, 199, 3807, 1270: // arrays of bytea json jsonb timetz
		return kindOpaque, true
	}
	return arrayOfOID(oid)
}

func arrayOfOID(oid uint32) (k kind, ok bool) {
	switch oid {
	case 1000:
		k = kindBool
	case 1005:
		k = kindInt2
	case 1007:
		k = kindInt4
	case 1016:
		k = kindInt8
	case 1231:
		k = kindNumeric
	case 1021:
		k = kindFloat4
	case 1022:
		k = kindFloat8
	case 1009:
		k = kindText
	case 1015:
		k = kindVarchar
	case 1014:
		k = kindBpchar
	case 2951:
		k = kindUUID
	case 1182:
		k = kindDate
	case 1115:
		k = kindTimestamp
	case 1185:
		k = kindTimestamptz
	case 1183:
		k = kindTime
	case 1187:
		k = kindInterval
	default:
		return kindUnknown, false
	}
	return k | kindArray, true
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
	case "time":
		return kindTime, true
	case "interval":
		return kindInterval, true
	case "jsonb":
		return kindJSONB, true
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

func (k kind) isStamp() bool { return k == kindTimestamp || k == kindTimestamptz }

func (k kind) isTemporal() bool { return k.isTime() || k == kindTime || k == kindInterval }

// hasUniqueText holds for the kinds whose column text is equal exactly when the values are: equality may compare bytes.
func (k kind) hasUniqueText() bool {
	return k == kindBool || k == kindEnum || k.isInt() || k == kindText || k == kindVarchar || k == kindUUID || k == kindDate
}
