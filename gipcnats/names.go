package gipcnats

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-gipc/gipc/pool"
)

// escape makes one token of a subject, and a part of a stream's name, of any text. No two texts have the same.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case c == '-', c == '_', '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// kindOf names what a task's clients and Serves must agree in: its name and its fingerprint, as two tokens.
type kindOf struct{ name, print string }

func kindOfTask[A, R any](t *pool.Task[A, R], version string) kindOf {
	return kindOf{escape(t.Name()), fingerprint(t.Name(), version,
		t.ArgCodec().Name(), shape(reflect.TypeFor[A]()), t.ResultCodec().Name(), shape(reflect.TypeFor[R]()))}
}

func fingerprint(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// shape describes what of a type's values is sent: kinds, the fields' names and tags. The names of types are not in it, except
// where a type has an encoding of its own.
func shape(t reflect.Type) string {
	var b strings.Builder
	writeShape(&b, t, map[reflect.Type]int{})
	return b.String()
}

var ownEncodings = []reflect.Type{
	reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryAppender](), reflect.TypeFor[encoding.TextMarshaler](),
	reflect.TypeFor[interface{ MarshalCBOR() ([]byte, error) }](), reflect.TypeFor[interface{ MarshalJSON() ([]byte, error) }](),
}

func writeShape(b *strings.Builder, t reflect.Type, seen map[reflect.Type]int) {
	if n, ok := seen[t]; ok {
		fmt.Fprintf(b, "#%d", n)
		return
	}
	for _, own := range ownEncodings {
		if t.Name() != "" && (t.Implements(own) || reflect.PointerTo(t).Implements(own)) {
			fmt.Fprintf(b, "%s.%s", t.PkgPath(), t.Name())
			return
		}
	}
	if t.Name() != "" && t.PkgPath() != "" {
		seen[t] = len(seen)
	}
	b.WriteString(t.Kind().String())
	switch t.Kind() {
	case reflect.Array:
		fmt.Fprintf(b, "%d", t.Len())
		writeShape(b, t.Elem(), seen)
	case reflect.Slice, reflect.Pointer:
		writeShape(b, t.Elem(), seen)
	case reflect.Map:
		b.WriteByte('[')
		writeShape(b, t.Key(), seen)
		b.WriteByte(']')
		writeShape(b, t.Elem(), seen)
	case reflect.Interface:
		fmt.Fprintf(b, " %s.%s", t.PkgPath(), t.Name())
	case reflect.Struct:
		writeFields(b, t, seen)
	}
}

func writeFields(b *strings.Builder, t reflect.Type, seen map[reflect.Type]int) {
	b.WriteByte('{')
	for i := range t.NumField() {
		f := t.Field(i)
		if f.PkgPath != "" && !f.Anonymous && f.Name != "_" { // cbor's toarray stands at a field named _
			continue
		}
		fmt.Fprintf(b, "%s %q %q ", f.Name, f.Tag.Get("cbor"), f.Tag.Get("json"))
		writeShape(b, f.Type, seen)
		b.WriteByte(';')
	}
	b.WriteByte('}')
}

// names has every subject and stream.
type names struct{ prefix string }

func (n names) stream(parts ...string) string {
	return strings.ReplaceAll(n.prefix, ".", "_") + "_" + strings.Join(parts, "_")
}

func (n names) subject(parts ...string) string { return n.prefix + "." + strings.Join(parts, ".") }

func (n names) taskStream(k kindOf) string { return n.stream("task", k.name) }
func (n names) resultStream() string       { return n.stream("result") }
func (n names) stateStream() string        { return n.stream("state") }
func (n names) deadStream() string         { return n.stream("dead") }
func (n names) values() string             { return n.stream("values") }
func (n names) task(k kindOf, id id) string {
	return n.subject("task", k.name, k.print, id.client, id.number)
}
func (n names) dead(k kindOf, id id) string {
	return n.subject("dead", k.name, k.print, id.client, id.number)
}
func (n names) result(id id) string         { return n.subject("result", id.client, id.number) }
func (n names) starts(id id) string         { return n.subject("state", "starts", id.client, id.number) }
func (n names) lease(client string) string  { return n.subject("state", "lease", client) }
func (n names) cancel(k kindOf) string      { return n.subject("cancel", k.name, k.print) }
func (n names) who(k kindOf) string         { return n.subject("who", k.name, k.print) }
func (n names) wanted(client string) string { return n.subject("wanted", client) }

// id names one task: its client, and which of the client's tasks it is.
type id struct{ client, number string }

func (i id) String() string { return i.client + "." + i.number }

// idOf returns the id at the end of a task's or result's subject.
func idOf(subject string) id {
	tokens := strings.Split(subject, ".")
	if len(tokens) < 2 {
		return id{}
	}
	return id{tokens[len(tokens)-2], tokens[len(tokens)-1]}
}

func newClientID() string { return rand.Text() }
