package api

import "gregor/pkg/protocol"

// kmsg decodes what a client claims: an array of n elements is allocated
// before the first is read, and a count of tagged fields is counted down even
// when the bytes have ended. A few bytes could so cost gigabytes or minutes.
// Therefore a body is walked by its shape before kmsg gets it: every length in
// it is true then, and their sum bounded.

// shapes says what the body of each request is made of, in order:
//
//	b h i l u   1, 2, 4, 8, 16 bytes
//	s y         a string, a run of bytes; null or not, compact where flexible
//	*x          an array of x
//	[x y]       an array of structs
//	?*x ?[x]    an array that may be null
//	3+x 1-2:x   x only in these versions
//
// Every struct, and the body itself, ends with tagged fields where flexible.
var shapes = parseShapes(map[int16]string{
	0:  "3+s h i [s [i y]]",                                                                                                 // PRODUCE
	1:  "i i i 3+i 4+b 7+i 7+i [s [i 9+i l 12+i 5+l i]] 7+[7+s *i] 11+s",                                                    // FETCH
	2:  "i 2+b [s [i 4+i l 0-0:i]]",                                                                                         // LIST_OFFSETS
	3:  "0-0:[s] 1+?[10+u s] 4+b 8-10:b 8+b",                                                                                // METADATA
	4:  "i i 2+l 5+b 0-1:[0-1:s i i i i *i i *i 3+*i 3+*i 1+b] 2+[s 5+u [0-1:s i i i i *i i *i 3+*i 3+*i 1+b]] [i s i]",     // LEADER_AND_ISR
	5:  "i i 1+l 0-2:b [s 0-0:i 1-2:*i 3+[i i b]]",                                                                          // STOP_REPLICA
	6:  "i i 5+l 0-4:[0-4:s i i i i *i i *i 4+*i] 5+[s 7+u [0-4:s i i i i *i i *i 4+*i]] [i 0-0:s 0-0:i 1+[i s 3+s h] 2+s]", // UPDATE_METADATA
	7:  "i 2+l",                                                                                                             // CONTROLLED_SHUTDOWN
	8:  "s 1+i 1+s 7+s 2-4:l [s [i l 1-1:l 6+i s]]",                                                                         // OFFSET_COMMIT
	9:  "s 0-1:[s *i] 2+?[s *i] 7+b",                                                                                        // OFFSET_FETCH
	10: "s 1+b",                                                                                                             // FIND_COORDINATOR
	11: "s i 1+i s 5+s s [s y]",                                                                                             // JOIN_GROUP
	12: "s i s 3+s",                                                                                                         // HEARTBEAT
	13: "s 0-2:s 3+[s s]",                                                                                                   // LEAVE_GROUP
	14: "s i s 3+s 5+s 5+s [s y]",                                                                                           // SYNC_GROUP
	15: "*s 3+b",                                                                                                            // DESCRIBE_GROUPS
	16: "4+*s",                                                                                                              // LIST_GROUPS
	17: "s",                                                                                                                 // SASL_HANDSHAKE
	18: "3+s 3+s",                                                                                                           // API_VERSIONS
	19: "[s i h [i *i] [s s]] i 1+b",                                                                                        // CREATE_TOPICS
	20: "0-5:*s 6+[s u] i",                                                                                                  // DELETE_TOPICS
	21: "[s [i l]] i",                                                                                                       // DELETE_RECORDS
	22: "s i 3+l 3+h",                                                                                                       // INIT_PRODUCER_ID
	23: "3+i [s [i 2+i i]]",                                                                                                 // OFFSET_FOR_LEADER_EPOCH
	24: "s l h [s *i]",                                                                                                      // ADD_PARTITIONS_TO_TXN
	25: "s l h s",                                                                                                           // ADD_OFFSETS_TO_TXN
	26: "s l h b",                                                                                                           // END_TXN
	27: "[l h b [s *i] i]",                                                                                                  // WRITE_TXN_MARKERS
	28: "s s l h 3+i 3+s 3+s [s [i l 2+i s]]",                                                                               // TXN_OFFSET_COMMIT
	29: "b s 1+b s s b b",                                                                                                   // DESCRIBE_ACLS
	30: "[b s 1+b s s b b]",                                                                                                 // CREATE_ACLS
	31: "[b s 1+b s s b b]",                                                                                                 // DELETE_ACLS
	32: "[b s ?*s] 1+b 3+b",                                                                                                 // DESCRIBE_CONFIGS
	33: "[b s [s s]] b",                                                                                                     // ALTER_CONFIGS
	34: "[s [s *i]]",                                                                                                        // ALTER_REPLICA_LOG_DIRS
	35: "?[s *i]",                                                                                                           // DESCRIBE_LOG_DIRS
	36: "y",                                                                                                                 // SASL_AUTHENTICATE
	37: "[s i ?[*i]] i b",                                                                                                   // CREATE_PARTITIONS
	38: "[s s] l",                                                                                                           // CREATE_DELEGATION_TOKEN
	39: "y l",                                                                                                               // RENEW_DELEGATION_TOKEN
	40: "y l",                                                                                                               // EXPIRE_DELEGATION_TOKEN
	41: "?[s s]",                                                                                                            // DESCRIBE_DELEGATION_TOKEN
	42: "*s",                                                                                                                // DELETE_GROUPS
	43: "1+b ?[s *i] i",                                                                                                     // ELECT_LEADERS
	44: "[b s [s b s]] b",                                                                                                   // INCREMENTAL_ALTER_CONFIGS
	45: "i [s [i ?*i]]",                                                                                                     // ALTER_PARTITION_REASSIGNMENTS
	46: "i ?[s *i]",                                                                                                         // LIST_PARTITION_REASSIGNMENTS
	47: "s [s *i]",                                                                                                          // OFFSET_DELETE
	48: "[s b s] b",                                                                                                         // DESCRIBE_CLIENT_QUOTAS
	49: "[[s s] [s l b]] b",                                                                                                 // ALTER_CLIENT_QUOTAS
	50: "?[s]",                                                                                                              // DESCRIBE_USER_SCRAM_CREDENTIALS
	51: "[s b] [s b i y y]",                                                                                                 // ALTER_USER_SCRAM_CREDENTIALS
	56: "i l [s [i i *i i]]",                                                                                                // ALTER_ISR
	57: "i [s h b]",                                                                                                         // UPDATE_FEATURES
	60: "b",                                                                                                                 // DESCRIBE_CLUSTER
	61: "[s *i]",                                                                                                            // DESCRIBE_PRODUCERS
})

// elementsMax bounds the elements of all arrays of one request together, and
// thereby what decoding it can take.
const elementsMax = 1 << 20

// wellFormed reports whether a body has the shape of its key and version. As
// in Kafka, bytes behind it are no mistake.
func wellFormed(key, version int16, frame []byte) bool {
	row, known := protocol.Lookup(key)
	fields, listed := shapes[key]
	if !known || !listed {
		return false
	}
	w := shapeWalk{body: newBody(frame, row.IsFlexible(version)), version: version, elements: elementsMax}
	w.structure(fields)
	return w.Ok()
}

// field is one part of a shape.
type field struct {
	min, max int16
	kind     byte
	nullable bool    // of '[' and '*'
	elements []field // of '[' and '*'
}

// shapeWalk walks a body along its shape.
type shapeWalk struct {
	body
	version  int16
	elements int // how many more there may be
}

func (w *shapeWalk) structure(fields []field) {
	for i := range fields {
		if f := &fields[i]; w.version >= f.min && w.version <= f.max {
			w.field(f)
		}
	}
	w.tags()
}

func (w *shapeWalk) field(f *field) {
	switch f.kind {
	case 'b':
		w.Span(1)
	case 'h':
		w.Span(2)
	case 'i':
		w.Span(4)
	case 'l':
		w.Span(8)
	case 'u':
		w.Span(16)
	case 's':
		w.nullableName()
	case 'y':
		w.records()
	default:
		w.array(f)
	}
}

func (w *shapeWalk) array(f *field) {
	src := w.Src
	if f.nullable && w.nullableArray() < 0 {
		return
	}
	w.Src = src
	n := w.body.array(1)
	if w.elements -= n; w.elements < 0 {
		w.fail()
	}
	for ; n > 0 && w.Ok(); n-- {
		if f.kind == '*' {
			w.field(&f.elements[0])
		} else {
			w.structure(f.elements)
		}
	}
}

func parseShapes(table map[int16]string) map[int16][]field {
	parsed := make(map[int16][]field, len(table))
	for key, text := range table {
		parsed[key], _ = parseShape(text)
	}
	return parsed
}

// parseShape reads fields up to the end or a closing bracket and returns what
// is behind it. The table is ours: a test reads it whole.
func parseShape(text string) (fields []field, rest string) {
	for text != "" {
		switch c := text[0]; c {
		case ' ':
			text = text[1:]
		case ']':
			return fields, text[1:]
		default:
			var f field
			f, text = parseField(text)
			fields = append(fields, f)
		}
	}
	return fields, ""
}

func parseField(text string) (f field, rest string) {
	f.max = 1<<15 - 1
	if text[0] >= '0' && text[0] <= '9' {
		f.min, text = parseVersion(text)
		if text[0] == '-' {
			f.max, text = parseVersion(text[1:])
		}
		text = text[1:] // the sign that ends the versions
	}
	if text[0] == '?' {
		f.nullable, text = true, text[1:]
	}
	f.kind, text = text[0], text[1:]
	switch f.kind {
	case '[':
		f.elements, text = parseShape(text)
	case '*':
		var element field
		element, text = parseField(text)
		f.elements = []field{element}
	}
	return f, text
}

func parseVersion(text string) (version int16, rest string) {
	for text[0] >= '0' && text[0] <= '9' {
		version, text = 10*version+int16(text[0]-'0'), text[1:]
	}
	return version, text
}
