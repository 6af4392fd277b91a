package ends

import "reflect"

// Close closes the ends in arguments that were not handed over, those too that can't be: the ones in interfaces. Files
// there, such as os.Stderr in an io.Writer, are left alone, and so are ends that nobody has made.
func (f *Finder) Close(args any) {
	c := endCloser{Finder: f, seen: map[reference]bool{}}
	c.value(reflect.ValueOf(args), false)
}

type endCloser struct {
	*Finder
	seen map[reference]bool
}

// reference is a pointer, map or slice: what may lead in a circle.
type reference struct {
	t   reflect.Type
	at  uintptr
	len int
}

func (c *endCloser) value(v reflect.Value, inInterface bool) {
	if !v.IsValid() || !c.mayHoldEnds(v.Type()) || c.sawBefore(v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if c.isEnd(v.Type()) {
			if !v.IsNil() && !v.Elem().IsZero() && !(inInterface && v.Type() == fileType) {
				closeEnd(v.Interface())
			}
			return
		}
		c.value(v.Elem(), inInterface)
	case reflect.Interface:
		c.value(v.Elem(), true)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || c.embeds(f) {
				c.value(v.Field(i), inInterface)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			c.value(v.Index(i), inInterface)
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			c.value(entries.Value(), inInterface)
		}
	}
}

func (c *endCloser) sawBefore(v reflect.Value) bool {
	var r reference
	switch v.Kind() {
	case reflect.Slice:
		r.len = v.Len()
		fallthrough
	case reflect.Pointer, reflect.Map:
		r.t, r.at = v.Type(), v.Pointer()
	default:
		return false
	}
	saw := c.seen[r]
	c.seen[r] = true
	return saw
}

// closeEnd ignores errors: they say that the end is closed already.
func closeEnd(end any) {
	switch end := end.(type) {
	case interface{ CloseNow() error }:
		_ = end.CloseNow()
	case interface{ Close() error }:
		_ = end.Close()
	}
}
