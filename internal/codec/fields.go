package codec

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// field is a struct field that an encoder looks at.
type field struct {
	index int
	name  string
	typ   reflect.Type
	flat  bool // embedded: its fields count as the outer struct's
}

// fields returns the fields of the struct type t that f encodes.
func (f *Format) fields(t reflect.Type) []field {
	var found []field
	for i := range t.NumField() {
		sf := t.Field(i)
		embedsStruct := sf.Anonymous && WithoutPointers(sf.Type).Kind() == reflect.Struct
		if !sf.IsExported() && !embedsStruct {
			continue
		}
		if f.Omits(sf.Tag) {
			continue
		}
		found = append(found, field{i, sf.Name, sf.Type, embedsStruct && f.tagName(sf.Tag) == ""})
	}
	return found
}

// Omits says whether a field with that tag is left out.
func (f *Format) Omits(tag reflect.StructTag) bool { return f.tag(tag) == "-" }

func (f *Format) tag(tag reflect.StructTag) string {
	for _, key := range f.tags {
		if value := tag.Get(key); value != "" {
			return value
		}
	}
	return ""
}

// tagName returns the name that a tag gives a field, or "".
func (f *Format) tagName(tag reflect.StructTag) string {
	name, _, _ := strings.Cut(f.tag(tag), ",")
	if f.strict && strings.ContainsFunc(name, isNoJSONName) {
		return "" // encoding/json then takes the field's own
	}
	return name
}

func isNoJSONName(r rune) bool {
	return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// encodedName returns what a field is called in a message.
func (f *Format) encodedName(sf reflect.StructField) string {
	name, options, _ := strings.Cut(f.tag(sf.Tag), ",")
	if f.intKeys && slices.Contains(strings.Split(options, ","), "keyasint") {
		if n, err := strconv.Atoi(name); err == nil {
			return "the integer " + strconv.Itoa(n)
		}
	}
	if name = f.tagName(sf.Tag); name == "" {
		name = sf.Name
	}
	return strconv.Quote(name)
}

// isMute says whether a struct type has fields, but none that f encodes. outer are the structs that t is embedded in.
func (f *Format) isMute(t reflect.Type, outer []reflect.Type) bool {
	if t.NumField() == 0 && outer == nil || slices.Contains(outer, t) {
		return outer != nil
	}
	for _, in := range f.fields(t) {
		if !in.flat || !f.isMute(WithoutPointers(in.typ), append(outer, t)) {
			return false
		}
	}
	return true
}

// embedded is a struct type at some depth, and the path of field names that leads there.
type embedded struct {
	typ  reflect.Type
	path string
}

// checkNames refuses a struct type of which encoders would leave fields out without a word, because several at one depth
// have one name. A field further out hides those of its name further in, as in Go.
func (f *Format) checkNames(t reflect.Type) error {
	hidden, visited := map[string]bool{}, map[reflect.Type]bool{}
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var next []embedded
		names := map[string]string{} // at this depth, to the field's path
		for i, at := range level {
			if visited[at.typ] {
				continue
			}
			for _, in := range f.fields(at.typ) {
				path := at.path + in.name
				if in.flat {
					next = append(next, embedded{WithoutPointers(in.typ), path + "."})
					continue
				}
				name := f.encodedName(at.typ.Field(in.index))
				if hidden[name] {
					continue
				}
				if other, taken := names[name]; taken {
					return fmt.Errorf("its fields %s and %s are both called %s in a message, so that one or both would not be sent: give them different names by their tags", other, path, name)
				}
				names[name] = path
			}
			visited[at.typ] = !slices.ContainsFunc(level[i+1:], func(e embedded) bool { return e.typ == at.typ })
		}
		for name := range names {
			hidden[name] = true
		}
		level = next
	}
	return nil
}
