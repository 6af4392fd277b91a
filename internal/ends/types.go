package ends

import (
	"os"
	"reflect"
	"sync"

	"github.com/go-gipc/gipc/internal/codec"
)

var (
	fileType   = reflect.TypeFor[*os.File]()
	osFileType = reflect.TypeFor[os.File]()
	filerType  = reflect.TypeFor[interface{ File() (*os.File, error) }]()
)

// InMessage is why an end can't be in a message.
const InMessage = "a channel end can't travel inside a message: hand it over in the arguments of Spawn"

// Finder finds ends of the types that it was told, and files. It may be used by any number of goroutines at once.
type Finder struct {
	end     reflect.Type // the interface that ends implement
	holders sync.Map     // reflect.Type to bool: what mayHoldEnds has found
}

// NewFinder returns a Finder of ends: of types that implement the interface type end.
func NewFinder(end reflect.Type) *Finder { return &Finder{end: end} }

func (f *Finder) isEnd(t reflect.Type) bool { return t == fileType || t.Implements(f.end) }

// InMessage says whether t is an end or a file, and why it can't be in a message.
func (f *Finder) InMessage(t reflect.Type) (is bool, why string) { return f.handle(t, false) }

// InArgs does so for the arguments of a child, where they are handed over by pointer.
func (f *Finder) InArgs(t reflect.Type) (is bool, why string) { return f.handle(t, true) }

func (f *Finder) handle(t reflect.Type, inArgs bool) (is bool, why string) {
	isEnd := reflect.PointerTo(t).Implements(f.end) || t.Implements(f.end)
	target := codec.WithoutPointers(t)
	switch {
	case isEnd && !inArgs:
		return true, InMessage
	case isEnd && f.embedsEnd(target):
		return true, "give the channel end that it embeds a field name"
	case isEnd && t.Kind() == reflect.Pointer:
		return true, ""
	case isEnd, inArgs && t == osFileType:
		return true, "use a pointer, *" + t.String()
	case inArgs && t.Kind() == reflect.Pointer && t.Elem() == osFileType:
		return true, ""
	case target == osFileType:
		return true, "hand files over in Spawn's args"
	case inArgs && t.Implements(filerType):
		return true, "hand over the *os.File that its File method returns"
	}
	return false, ""
}

// embedsEnd tells a user's struct, which gets the methods of a channel end that it embeds, from the end itself.
func (f *Finder) embedsEnd(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if sf := t.Field(i); sf.Anonymous && reflect.PointerTo(codec.WithoutPointers(sf.Type)).Implements(f.end) {
			return true
		}
	}
	return false
}

// embeds says whether a struct has the fields of another one by this field, whatever its name is.
func (f *Finder) embeds(sf reflect.StructField) bool {
	return sf.Anonymous && codec.WithoutPointers(sf.Type).Kind() == reflect.Struct && !f.isEnd(sf.Type)
}

// mayHoldEnds says whether an end may be in a value of type t. It is cached: arguments may be long lists of a type that holds
// none.
func (f *Finder) mayHoldEnds(t reflect.Type) bool {
	if known, ok := f.holders.Load(t); ok {
		return known.(bool)
	}
	search := endSearch{Finder: f, inInterfaces: true, seen: map[reflect.Type]bool{}}
	holds := search.finds(t)
	f.holders.Store(t, holds)
	return holds
}

// declaresEnds says whether t names the type of an end: what is in its interfaces is left out.
func (f *Finder) declaresEnds(t reflect.Type) bool {
	search := endSearch{Finder: f, seen: map[reflect.Type]bool{}}
	return search.finds(t)
}

type endSearch struct {
	*Finder
	inInterfaces bool // may be ends
	seen         map[reflect.Type]bool
}

func (s *endSearch) finds(t reflect.Type) bool {
	if s.seen[t] {
		return false
	}
	s.seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return s.inInterfaces
	case reflect.Pointer:
		return s.isEnd(t) || s.finds(t.Elem())
	case reflect.Slice, reflect.Array, reflect.Map:
		return s.finds(t.Elem())
	case reflect.Struct:
		if s.isEnd(reflect.PointerTo(t)) {
			return true
		}
		for i := range t.NumField() {
			if s.finds(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}
