package logs

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"
)

const (
	maxLine     = 256 << 10 // bytes of an encoded record
	maxNesting  = 100       // of groups, in what the child sends
	maxExpanded = 8 << 20   // bytes of a record in which each attribute stands with the names of its groups
)

// line is how a record travels: a line of JSON. The child writes it by hand.
type line struct {
	Time    time.Time    `json:"time"`
	Level   int          `json:"level"`
	Message *string      `json:"msg"`
	Source  *slog.Source `json:"source"`
	Attrs   []attr       `json:"attrs"`
}

// attr is a group or a value. Its kind says what JSON doesn't tell.
type attr struct {
	Key   string          `json:"k"`
	Group *[]attr         `json:"g"`
	Kind  string          `json:"t"`
	Value json.RawMessage `json:"v"`
}

// Kinds of values that JSON doesn't tell apart. The others travel as JSON.
const (
	kindInt64    = "i"
	kindUint64   = "u"
	kindFloat64  = "f" // as text: some have no JSON form
	kindDuration = "d" // in nanoseconds
	kindTime     = "t"
)

var errNoRecord = errors.New("it is no log record")

// parse makes a record of a line. What is in it may come from a hostile process.
func parse(text []byte) (slog.Record, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return slog.Record{}, err
	}
	if l.Message == nil {
		return slog.Record{}, errNoRecord
	}
	room := maxExpanded
	attrs, err := slogAttrs(l.Attrs, 0, &room)
	if err != nil {
		return slog.Record{}, err
	}
	r := slog.NewRecord(l.Time, slog.Level(l.Level), *l.Message, 0)
	if l.Source != nil {
		r.AddAttrs(slog.Any(slog.SourceKey, l.Source))
	}
	r.AddAttrs(attrs...)
	return r, nil
}

// slogAttrs makes attributes of those of a line. Around them are groups whose names have above bytes: a handler may write
// them anew for each attribute, as slog's TextHandler does. That must fit into room.
func slogAttrs(attrs []attr, above int, room *int) ([]slog.Attr, error) {
	made := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		name := above + len(a.Key)
		*room -= name + len(a.Value)
		if *room < 0 {
			return nil, errNoRecord
		}
		if a.Group == nil {
			v, err := a.value()
			if err != nil {
				return nil, err
			}
			made = append(made, slog.Attr{Key: a.Key, Value: v})
			continue
		}
		members, err := slogAttrs(*a.Group, name, room)
		if err != nil {
			return nil, err
		}
		made = append(made, slog.Attr{Key: a.Key, Value: slog.GroupValue(members...)})
	}
	return made, nil
}

func (a attr) value() (v slog.Value, err error) {
	switch a.Kind {
	case "":
		return jsonValue(a.Value), nil
	case kindInt64:
		return valueAs(a.Value, slog.Int64Value)
	case kindUint64:
		return valueAs(a.Value, slog.Uint64Value)
	case kindDuration:
		return valueAs(a.Value, slog.DurationValue)
	case kindTime:
		return valueAs(a.Value, slog.TimeValue)
	case kindFloat64:
		f, err := valueAs(a.Value, slog.StringValue)
		if err != nil {
			return v, err
		}
		n, err := strconv.ParseFloat(f.String(), 64)
		return slog.Float64Value(n), err
	}
	return v, errNoRecord
}

func valueAs[T any](text json.RawMessage, value func(T) slog.Value) (slog.Value, error) {
	var v T
	err := json.Unmarshal(text, &v)
	return value(v), err
}

// jsonValue makes Go values of the simple ones. Others stay JSON, which slog's handlers write as it is.
func jsonValue(text json.RawMessage) slog.Value {
	switch {
	case len(text) == 0, string(text) == "null":
		return slog.AnyValue(nil)
	case text[0] == '"', text[0] == 't', text[0] == 'f':
		var v any
		_ = json.Unmarshal(text, &v) // it is JSON
		return slog.AnyValue(v)
	}
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return slog.Int64Value(n)
	}
	return slog.AnyValue(text)
}
