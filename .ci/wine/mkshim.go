//go:build ignore

// Mkshim writes bcryptprimitives.dll, which every Go program on Windows loads and Wine 8 lacks, to the file it is given.
// The DLL holds no code. Its one export, ProcessPrng, is a forwarder to advapi32.SystemFunction036 (RtlGenRandom), which
// has the same signature. The layout is that of "PE Format" on learn.microsoft.com.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

const (
	alignment = 0x200  // of parts of the file; also the size of both
	sectionAt = 0x1000 // in memory

	directory = 40 // size of the export directory, which begins the section
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: mkshim FILE")
		os.Exit(2)
	}
	dll := append(pad(headers()), pad(exports())...)
	if err := os.WriteFile(os.Args[1], dll, 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func pad(b []byte) []byte { return append(b, make([]byte, alignment-len(b))...) }

// pack writes values one after another, little-endian.
func pack(values ...any) []byte {
	var b bytes.Buffer
	for _, v := range values {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// exports is the section: the directory, a table of one address, one of one name, one of one ordinal, and the strings.
// An address inside the section makes the export a forwarder.
func exports() []byte {
	var strings []byte
	const stringsAt = directory + 4 + 4 + 4
	text := func(s string) uint32 {
		at := sectionAt + stringsAt + len(strings)
		strings = append(strings, s+"\x00"...)
		return uint32(at)
	}
	dll, name, target := text("bcryptprimitives.dll"), text("ProcessPrng"), text("advapi32.SystemFunction036")
	return pack(
		[]uint32{0, 0, 0, dll, 1, 1, 1, sectionAt + directory, sectionAt + directory + 4, sectionAt + directory + 8},
		target, name, uint16(0), uint16(0),
		strings,
	)
}

func headers() []byte {
	dos := make([]byte, 64)
	copy(dos, "MZ")
	binary.LittleEndian.PutUint32(dos[60:], 64) // where the PE header is
	name := [8]byte{'.', 'e', 'd', 'a', 't', 'a'}
	return pack(
		dos,
		[]byte("PE\x00\x00"),
		[]uint16{0x8664, 1},    // AMD64, one section
		[]uint32{0, 0, 0},      // no time, no symbols
		[]uint16{240, 0x2022},  // size of the optional header; a DLL
		uint16(0x20b),          // PE32+
		[]uint8{14, 0},         // linker
		[]uint32{0, alignment}, // code, data
		[]uint32{0, 0, 0},      // no more data, no entry point, no code
		uint64(0x1_8000_0000),  // address
		[]uint32{sectionAt, alignment},
		[]uint16{6, 0, 0, 0, 6, 0}, // versions of the system, the DLL, the subsystem
		[]uint32{0, 2 * sectionAt, alignment, 0},
		[]uint16{2, 0x160}, // subsystem; any address, no execution of data
		[]uint64{1 << 20, 1 << 12, 1 << 20, 1 << 12},
		[]uint32{0, 16},                   // number of directories
		[]uint32{sectionAt, alignment},    // the first is the exports
		make([]byte, 15*8),                // no others
		name,                              // the section
		[]uint32{alignment, sectionAt},    // in memory
		[]uint32{alignment, alignment, 0}, // in the file
		[]uint32{0, 0},
		uint32(0x4000_0040), // data, readable
	)
}
