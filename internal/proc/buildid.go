package proc

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"runtime/debug"
	"sync"
)

// A child must run its parent's build, or they could misunderstand each other. FileID tells in a microsecond that the child
// runs the same file; BuildID, which takes longer to find, decides where it doesn't.

// FileID identifies the executable's file. It is found once, by Init, since the file may be replaced later.
var FileID = sync.OnceValue(identify)

func identify() string {
	path, _, err := executable()
	if err != nil {
		return ""
	}
	return identifyFile(path)
}

// BuildID is the ID that the Go linker wrote into the executable, or, where it was told not to, what the module system
// knows.
var BuildID = sync.OnceValue(func() string {
	if id, certain := linkedID(); id != "" && (certain || identify() == FileID()) { // else the file was replaced since
		return id
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.String()
	}
	return ""
})

// linkedID reads the build ID from the first part of the executable, where the linker puts it. It is certainly that of the
// running program if the file can't be another one.
func linkedID() (id string, certain bool) {
	path, certain, err := executable()
	if err != nil {
		return "", false
	}
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	start := make([]byte, 32<<10)
	n, err := io.ReadFull(f, start)
	if err != nil && err != io.ErrUnexpectedEOF {
		return "", false
	}
	return findID(start[:n]), certain
}

// findID finds the ELF note of type 4 and owner "Go", or the text that Mach-O and PE files have instead.
func findID(b []byte) string {
	var order binary.AppendByteOrder = binary.LittleEndian
	if bytes.HasPrefix(b, []byte("\x7fELF")) && len(b) > 5 && b[5] == 2 { // e_ident[EI_DATA]
		order = binary.BigEndian
	}
	owner := append(order.AppendUint32(nil, 4), "Go\x00\x00"...)
	if i := bytes.Index(b, owner); i >= 4 {
		size := uint64(order.(binary.ByteOrder).Uint32(b[i-4:]))
		if id := b[i+len(owner):]; size <= uint64(len(id)) {
			return string(id[:size])
		}
	}
	_, after, found := bytes.Cut(b, []byte("\xff Go build ID: \""))
	if id, _, ended := bytes.Cut(after, []byte("\"\n \xff")); found && ended {
		return string(id)
	}
	return ""
}
