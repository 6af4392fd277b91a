package logs

import (
	"bytes"
	"io"
)

// splitter cuts what the child sends into lines.
type splitter struct {
	begun   []byte            // of a line
	tooLong bool              // the rest of the line is dropped
	add     func(line []byte) // gets each line that is not empty, and may keep it
}

// rubbish stands for a line that is too long: it is no record either.
var rubbish = []byte("…")

// readFrom reads up to the end of the pipe. It may be called again after an error. What comes behind the last line end, the child
// had not finished when it ended.
func (s *splitter) readFrom(r io.Reader) (err error) {
	buf := make([]byte, 4096) // held for as long as the child lives
	for err == nil {
		var n int
		n, err = r.Read(buf)
		s.split(buf[:n])
	}
	if err == io.EOF {
		err = nil
	}
	return err
}

func (s *splitter) split(b []byte) {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			s.begin(b)
			return
		}
		s.begin(b[:end])
		s.finish()
		b = b[end+1:]
	}
}

func (s *splitter) begin(b []byte) {
	if s.tooLong || len(s.begun)+len(b) > maxLine {
		s.begun, s.tooLong = nil, true
		return
	}
	s.begun = append(s.begun, b...)
}

func (s *splitter) finish() {
	switch {
	case s.tooLong:
		s.add(rubbish)
	case len(s.begun) > 0:
		s.add(s.begun)
	}
	s.begun, s.tooLong = nil, false
}
