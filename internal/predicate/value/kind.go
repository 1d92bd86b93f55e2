package value

// Kind is a Postgres type of the where language.
type Kind uint8

// The kinds, numbers and times in the order of their implicit casts.
const (
	Unknown Kind = iota // an untyped literal or parameter: takes its type from the other operand
	Bool
	Int2
	Int4
	Int8
	Numeric
	Float4
	Float8
	Text
	Varchar
	Bpchar
	UUID
	Date
	Timestamp
	Timestamptz
	Time
	Interval
	JSONB
	Bytea
	Name
	OID
	BitString // bit and bit varying
	MACAddr
	MACAddr8
	Inet
	Cidr
	Int4Range // the ranges, in the order of RangeElement
	Int8Range
	NumRange
	DateRange
	TimestampRange
	TimestamptzRange
	Enum   // which enum is in column.enum or scalar.enum; only values of one enum meet
	Quoted // a column that can be tested for NULL and cast to text, nothing else
	Opaque // a column that can only be tested for NULL

	// ArrayOf marks an array of the kind in the other bits.
	ArrayOf Kind = 0x40
)

// IsArray reports whether the kind is an array.
func (k Kind) IsArray() bool { return k&ArrayOf != 0 }

// Element is the kind of an array's elements.
func (k Kind) Element() Kind { return k &^ ArrayOf }

// String returns the name Postgres uses in its messages; it is also valid in a cast.
func (k Kind) String() string {
	if k.IsArray() {
		return k.Element().String() + "[]"
	}
	switch k {
	case Bool:
		return "boolean"
	case Int2:
		return "smallint"
	case Int4:
		return "integer"
	case Int8:
		return "bigint"
	case Numeric:
		return "numeric"
	case Float4:
		return "real"
	case Float8:
		return "double precision"
	case Text:
		return "text"
	case Varchar:
		return "character varying"
	case Bpchar:
		return "bpchar"
	case UUID:
		return "uuid"
	case Date:
		return "date"
	case Timestamp:
		return "timestamp without time zone"
	case Timestamptz:
		return "timestamp with time zone"
	case Time:
		return "time without time zone"
	case Interval:
		return "interval"
	case JSONB:
		return "jsonb"
	case Bytea:
		return "bytea"
	case Name:
		return "name"
	case OID:
		return "oid"
	case BitString:
		return "bit varying"
	case MACAddr:
		return "macaddr"
	case MACAddr8:
		return "macaddr8"
	case Inet:
		return "inet"
	case Cidr:
		return "cidr"
	case Int4Range:
		return "int4range"
	case Int8Range:
		return "int8range"
	case NumRange:
		return "numrange"
	case DateRange:
		return "daterange"
	case TimestampRange:
		return "tsrange"
	case TimestamptzRange:
		return "tstzrange"
	case Enum:
		return "enum"
	default: // Unknown; an Opaque column is named by its own type
		return "unknown"
	}
}

// IsInt tells the integer types.
func (k Kind) IsInt() bool { return k == Int2 || k == Int4 || k == Int8 }

// IsFloat tells real and double precision.
func (k Kind) IsFloat() bool { return k == Float4 || k == Float8 }

// IsNumber tells everything that is computed with.
func (k Kind) IsNumber() bool { return k >= Int2 && k <= Float8 }

// IsText tells what is compared as text.
func (k Kind) IsText() bool { return k == Text || k == Varchar || k == Bpchar }

// IsTime tells dates and timestamps.
func (k Kind) IsTime() bool { return k == Date || k == Timestamp || k == Timestamptz }

// IsOpaque tells columns of types that have no operators here.
func (k Kind) IsOpaque() bool { return k == Quoted || k == Opaque }

// IsNetwork tells inet and cidr, which compare with each other.
func (k Kind) IsNetwork() bool { return k == Inet || k == Cidr }

// IsRange tells the ranges.
func (k Kind) IsRange() bool { return k >= Int4Range && k <= TimestamptzRange }

// RangeElement is the kind of a range's bounds.
func (k Kind) RangeElement() Kind {
	return [...]Kind{Int4, Int8, Numeric, Date, Timestamp, Timestamptz}[k-Int4Range]
}

// IsCollated tells what Postgres compares under a collation.
func (k Kind) IsCollated() bool { return k.IsText() || k == Name }

// IsOrdered tells the kinds whose order is known here, not only what is equal.
func (k Kind) IsOrdered() bool {
	return !k.IsArray() && !k.IsRange() && !k.IsNetwork() && !k.IsOpaque() && k != JSONB && k != Enum
}

// KindOfOID maps a column's type. Types that only NULL tests can read are opaque; ok is false for the rest: composite
// types (whose IS NULL looks inside), domains and enums, which cannot be told apart by their OID.
func KindOfOID(oid uint32) (k Kind, ok bool) {
	switch oid {
	case 16:
		return Bool, true
	case 21:
		return Int2, true
	case 23:
		return Int4, true
	case 20:
		return Int8, true
	case 1700:
		return Numeric, true
	case 700:
		return Float4, true
	case 701:
		return Float8, true
	case 25:
		return Text, true
	case 1043:
		return Varchar, true
	case 1042:
		return Bpchar, true
	case 2950:
		return UUID, true
	case 1082:
		return Date, true
	case 1114:
		return Timestamp, true
	case 1184:
		return Timestamptz, true
	case 1083:
		return Time, true
	case 1186:
		return Interval, true
	case 3802:
		return JSONB, true
	case 17:
		return Bytea, true
	case 19:
		return Name, true
	case 26:
		return OID, true
	case 1560, 1562:
		return BitString, true
	case 829:
		return MACAddr, true
	case 774:
		return MACAddr8, true
	case 869:
		return Inet, true
	case 650:
		return Cidr, true
	case 3904:
		return Int4Range, true
	case 3926:
		return Int8Range, true
	case 3906:
		return NumRange, true
	case 3912:
		return DateRange, true
	case 3908:
		return TimestampRange, true
	case 3910:
		return TimestamptzRange, true
	case 114: // json
		return Quoted, true
	case 18, 142, // "char" xml
		1266, 790, // timetz money
		600, 601, 602, 603, 604, 628, 718, 3614, 3615, // geometric types, tsvector, tsquery
		199, 3807, 1270: // arrays of json jsonb timetz
		return Opaque, true
	}
	return arrayOfOID(oid)
}

func arrayOfOID(oid uint32) (k Kind, ok bool) {
	switch oid {
	case 1000:
		k = Bool
	case 1005:
		k = Int2
	case 1007:
		k = Int4
	case 1016:
		k = Int8
	case 1231:
		k = Numeric
	case 1021:
		k = Float4
	case 1022:
		k = Float8
	case 1009:
		k = Text
	case 1015:
		k = Varchar
	case 1014:
		k = Bpchar
	case 2951:
		k = UUID
	case 1182:
		k = Date
	case 1115:
		k = Timestamp
	case 1185:
		k = Timestamptz
	case 1183:
		k = Time
	case 1187:
		k = Interval
	case 1001:
		k = Bytea
	case 1003:
		k = Name
	case 1028:
		k = OID
	case 1040:
		k = MACAddr
	case 775:
		k = MACAddr8
	case 1041:
		k = Inet
	default:
		return Unknown, false
	}
	return k | ArrayOf, true
}

// KindOfName maps the type name of a cast, as the grammar spells it.
func KindOfName(name string) (k Kind, ok bool) {
	switch name {
	case "bool":
		return Bool, true
	case "int2":
		return Int2, true
	case "int4":
		return Int4, true
	case "int8":
		return Int8, true
	case "numeric":
		return Numeric, true
	case "float4":
		return Float4, true
	case "float8":
		return Float8, true
	case "text":
		return Text, true
	case "varchar":
		return Varchar, true
	case "bpchar":
		return Bpchar, true
	case "uuid":
		return UUID, true
	case "date":
		return Date, true
	case "timestamp":
		return Timestamp, true
	case "timestamptz":
		return Timestamptz, true
	case "time":
		return Time, true
	case "interval":
		return Interval, true
	case "jsonb":
		return JSONB, true
	case "bytea":
		return Bytea, true
	case "name":
		return Name, true
	case "oid":
		return OID, true
	case "varbit":
		return BitString, true
	case "macaddr":
		return MACAddr, true
	case "macaddr8":
		return MACAddr8, true
	case "inet":
		return Inet, true
	case "cidr":
		return Cidr, true
	case "int4range":
		return Int4Range, true
	case "int8range":
		return Int8Range, true
	case "numrange":
		return NumRange, true
	case "daterange":
		return DateRange, true
	case "tsrange":
		return TimestampRange, true
	case "tstzrange":
		return TimestamptzRange, true
	}
	return Unknown, false
}

// CommonKind is Postgres' select_common_type for the members of an IN list: the type all are converted to before they
// are compared. Untyped members do not count; ok is false if the types have nothing in common.
func CommonKind(kinds []Kind) (k Kind, ok bool) {
	for _, next := range kinds {
		switch {
		case next == Unknown || next == k:
		case k == Unknown:
			k = next
		case k.IsNumber() && next.IsNumber(), k.IsTime() && next.IsTime():
			k = max(k, next) // both are declared in the order of their implicit casts
		case k == OID && next.IsInt(), k.IsInt() && next == OID:
			k = OID
		case k.IsNetwork() && next.IsNetwork():
			k = Inet
		case k.IsText() && next.IsText(): // castable both ways: the first one stays
		default:
			return Unknown, false
		}
	}
	if k == Unknown {
		k = Text
	}
	return k, true
}

// IsStamp tells dates with a time of day.
func (k Kind) IsStamp() bool { return k == Timestamp || k == Timestamptz }

// IsTemporal tells everything that is measured in time.
func (k Kind) IsTemporal() bool { return k.IsTime() || k == Time || k == Interval }

// HasUniqueText holds for the kinds whose column text is equal exactly when the values are: equality may compare bytes.
func (k Kind) HasUniqueText() bool {
	return k == Bool || k == Enum || k.IsInt() || k == Text || k == Varchar || k == UUID || k == Date || k == OID || k == Name || k.isBytes() || k == Inet ||
		k.IsRange() && k != NumRange
}

// isBytes tells the kinds that are ordered as their texts are.
func (k Kind) isBytes() bool {
	return k == Bytea || k == BitString || k == MACAddr || k == MACAddr8 || k == UUID
}

// ComparesAs says how two kinds compare whose texts, or what Reading makes of them, are equal exactly when the values
// are; beyond numbers, texts and times.
func ComparesAs(l, r Kind) (d Domain, ok bool) {
	switch {
	case l == OID && r == OID:
		return DomainInt, true
	case l == r && (l.isBytes() || l == Enum || l.IsRange() && l != NumRange), l.IsNetwork() && r.IsNetwork(), l == Name && (r == Name || r == Text || r == Varchar), r == Name && (l == Text || l == Varchar):
		return DomainBytes, true
	}
	return 0, false
}
