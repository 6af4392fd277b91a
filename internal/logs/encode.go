package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strconv"
	"time"
)

// appendRecord appends the line of a record. Attrs are what WithAttrs and WithGroup made, in which open groups are open.
func appendRecord(dst []byte, r slog.Record, attrs []byte, open int) []byte {
	dst = appendHead(dst, r, r.Message)
	dst = append(dst, attrs...)
	r.Attrs(func(a slog.Attr) bool {
		dst = appendAttr(dst, a, open)
		return true
	})
	for range open {
		dst = append(dst, "]}"...)
	}
	return append(dst, "]}\n"...)
}

// appendShort appends the line of a record that would be too long: without attributes, and with the begin of its message.
func appendShort(dst []byte, r slog.Record, length int) []byte {
	const kept = maxLine / 16 // JSON has six bytes for some that are one
	dst = appendHead(dst, r, r.Message[:min(len(r.Message), kept)])
	dst = appendAttr(dst, slog.Int("truncated", length), 0)
	return append(dst, "]}\n"...)
}

func appendHead(dst []byte, r slog.Record, message string) []byte {
	dst = append(dst, '{')
	if at, err := r.Time.MarshalJSON(); !r.Time.IsZero() && err == nil {
		dst = append(append(append(dst, `"time":`...), at...), ',')
	}
	dst = append(dst, `"level":`...)
	dst = strconv.AppendInt(dst, int64(r.Level), 10)
	dst = append(dst, `,"msg":`...)
	dst = appendString(dst, message)
	if r.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		dst = append(dst, `,"source":{"function":`...)
		dst = appendString(dst, frame.Function)
		dst = append(dst, `,"file":`...)
		dst = appendString(dst, frame.File)
		dst = append(dst, `,"line":`...)
		dst = append(strconv.AppendInt(dst, int64(frame.Line), 10), '}')
	}
	return append(dst, `,"attrs":[`...)
}

// appendAttr appends an attribute that is in so many groups.
func appendAttr(dst []byte, a slog.Attr, groups int) []byte {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup || groups >= maxNesting {
		return append(appendValue(appendKey(dst, a.Key), v), '}')
	}
	dst = appendGroup(dst, a.Key)
	for _, member := range v.Group() {
		dst = appendAttr(dst, member, groups+1)
	}
	return append(dst, "]}"...)
}

// appendGroup begins a group, which "]}" ends.
func appendGroup(dst []byte, name string) []byte { return append(appendKey(dst, name), `,"g":[`...) }

// appendKey begins an attribute, which "}" ends.
func appendKey(dst []byte, key string) []byte {
	if n := len(dst); n > 0 && dst[n-1] == '}' {
		dst = append(dst, ',')
	}
	return appendString(append(dst, `{"k":`...), key)
}

func appendValue(dst []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendString(append(dst, `,"v":`...), v.String())
	case slog.KindBool:
		return strconv.AppendBool(append(dst, `,"v":`...), v.Bool())
	case slog.KindInt64:
		return strconv.AppendInt(appendKind(dst, kindInt64), v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(appendKind(dst, kindUint64), v.Uint64(), 10)
	case slog.KindDuration:
		return strconv.AppendInt(appendKind(dst, kindDuration), int64(v.Duration()), 10)
	case slog.KindFloat64:
		dst = append(appendKind(dst, kindFloat64), '"')
		return append(strconv.AppendFloat(dst, v.Float64(), 'g', -1, 64), '"')
	case slog.KindTime:
		return appendTime(dst, v.Time())
	case slog.KindAny:
		return append(append(dst, `,"v":`...), jsonForm(v.Any())...)
	}
	return appendString(append(dst, `,"v":`...), v.String()) // a group too deep
}

func appendKind(dst []byte, kind string) []byte {
	return append(append(append(dst, `,"t":"`...), kind...), `","v":`...)
}

func appendTime(dst []byte, t time.Time) []byte {
	text, err := t.MarshalJSON()
	if err != nil { // its year has no four digits
		return appendString(append(dst, `,"v":`...), t.String())
	}
	return append(appendKind(dst, kindTime), text...)
}

// appendString appends a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string has a JSON form
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// jsonForm returns v as JSON, in one line: an error, and what has no JSON form, as text. A panic in a method of v becomes text, as
// in slog's own handlers.
func jsonForm(v any) (form []byte) {
	defer func() {
		switch p := recover(); {
		case p == nil:
		case isNilPointer(v):
			form = appendString(nil, "<nil>")
		default:
			form = appendString(nil, fmt.Sprintf("!PANIC: %v", p))
		}
	}()
	_, marshals := v.(json.Marshaler)
	if err, isError := v.(error); isError && !marshals {
		return appendString(nil, err.Error())
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return appendString(nil, textForm(v, err))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// textForm returns the text of a value that has no JSON form. Printing one that contains itself would never end.
func textForm(v any, why error) string {
	parts := maxParts
	if !printable(reflect.Indirect(reflect.ValueOf(v)), &parts) {
		return "!ERROR: " + why.Error()
	}
	return fmt.Sprintf("%+v", v)
}

// maxParts is how many elements and fields are printed of a value.
const maxParts = 10_000

// printable says whether v has no more parts than that. Package fmt follows no pointers inside of it.
func printable(v reflect.Value, parts *int) bool {
	if *parts--; *parts < 0 {
		return false
	}
	switch v.Kind() {
	case reflect.Interface:
		return printable(v.Elem(), parts)
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			if !printable(entry.Key(), parts) || !printable(entry.Value(), parts) {
				return false
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if !printable(v.Index(i), parts) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !printable(v.Field(i), parts) {
				return false
			}
		}
	}
	return true
}

func isNilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}
