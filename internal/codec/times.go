package codec

import (
	"reflect"
	"time"
)

// inWholeMinutes returns a copy of what v points to in which every time has an offset of whole minutes, the most that the
// text of a time can say. The instants are the same. It copies all that leads to a time: v must have been looked at, so that
// it has an end.
func inWholeMinutes(v reflect.Value) reflect.Value {
	copied := reflect.New(v.Type())
	copied.Elem().Set(v)
	setWholeMinutes(copied.Elem())
	return copied
}

func setWholeMinutes(v reflect.Value) {
	if s := shapeOf(v.Type()); s.facts&(times|anything) == 0 {
		return
	} else if s.own == times {
		t := v.Addr().Interface().(*time.Time)
		_, offset := t.Zone()
		if seconds := offset % 60; seconds != 0 {
			*t = t.In(time.FixedZone("", offset-seconds))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.CanSet() {
			copied := inWholeMinutes(v.Elem())
			if v.Kind() == reflect.Interface {
				copied = copied.Elem()
			}
			v.Set(copied.Convert(v.Type()))
		}
	case reflect.Struct:
		for _, f := range shapeOf(v.Type()).fields {
			setWholeMinutes(v.Field(f.index))
		}
	case reflect.Map:
		if !v.IsNil() {
			copied := reflect.MakeMapWithSize(v.Type(), v.Len())
			for entry := v.MapRange(); entry.Next(); {
				copied.SetMapIndex(inWholeMinutes(entry.Key()).Elem(), inWholeMinutes(entry.Value()).Elem())
			}
			v.Set(copied)
		}
	case reflect.Slice:
		if !v.IsNil() {
			copied := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(copied, v)
			v.Set(copied)
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			setWholeMinutes(v.Index(i))
		}
	}
}
