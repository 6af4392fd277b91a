package main

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

var (
	left  = color.RGBA{R: 200, A: 255}
	right = color.RGBA{B: 100, A: 255}
)

// halves returns an image whose halves have two colours.
func halves(width, height int) image.Image {
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{left, right})
	for i := range img.Pix {
		if i%width >= width/2 {
			img.Pix[i] = 1
		}
	}
	return img
}

// encoded returns an image as a file of a format.
func encoded(t *testing.T, format string, img image.Image) []byte {
	t.Helper()
	var file bytes.Buffer
	var err error
	switch format {
	case "png":
		err = png.Encode(&file, img)
	case "jpeg":
		err = jpeg.Encode(&file, img, &jpeg.Options{Quality: 95})
	case "gif":
		err = gif.Encode(&file, img, nil)
	default:
		t.Fatal("unknown format " + format)
	}
	test.Check(t, err)
	return file.Bytes()
}

// animated returns a GIF whose first frame has two halves and leaves a margin, and whose other frames are white.
func animated(t *testing.T, width, height int) []byte {
	t.Helper()
	first := halves(width, height).(*image.Paletted)
	first.Rect = image.Rect(50, 30, 50+width, 30+height)
	canvas := image.Rect(0, 0, width+100, height+60)
	other := image.NewPaletted(canvas, color.Palette{color.White})
	var file bytes.Buffer
	test.Check(t, gif.EncodeAll(&file, &gif.GIF{
		Image:  []*image.Paletted{first, other, other},
		Delay:  []int{10, 10, 10},
		Config: image.Config{Width: canvas.Dx(), Height: canvas.Dy()},
	}))
	return file.Bytes()
}

// photo returns an image as a camera makes it: no area has one colour, and each pixel is somewhat off.
func photo(width, height int) *image.RGBA {
	random := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			sky := color.RGBA{uint8(60 + 120*y/height), uint8(110 + 80*x/width), 220, 255}
			if hill := height/2 + int(float64(height)/8*math.Sin(float64(x)*7/float64(width))); y > hill {
				sky = color.RGBA{uint8(40 + 60*x/width), uint8(90 + 60*y/height), 50, 255}
			}
			off := uint8(random.IntN(16))
			img.SetRGBA(x, y, color.RGBA{sky.R + off, sky.G + off, sky.B + off, 255})
		}
	}
	return img
}

// bomb returns a whole PNG of black and white pixels, all black.
func bomb(t *testing.T, width, height int) []byte {
	t.Helper()
	return blackPNG(t, width, height, 1, 0)
}

// blackPNG returns a PNG with so many bits for each colour of a pixel, and a type of colours.
func blackPNG(t *testing.T, width, height, bits, colours int) []byte {
	t.Helper()
	var data bytes.Buffer
	deflated, err := zlib.NewWriterLevel(&data, zlib.BestSpeed)
	test.Check(t, err)
	rows, size := height, (width*bits+7)/8
	if colours == 6 {
		rows, size = 1, 4*size
	}
	row := make([]byte, 1+size) // a filter, and the pixels
	for range rows {
		_, err := deflated.Write(row)
		test.Check(t, err)
	}
	test.Check(t, deflated.Close())
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	header = append(header, byte(bits), byte(colours), 0, 0, 0) // deflated, filtered, not interlaced
	file := []byte("\x89PNG\r\n\x1a\n")
	file = appendChunk(file, "IHDR", header)
	file = appendChunk(file, "IDAT", data.Bytes())
	return appendChunk(file, "IEND", nil)
}

// appendChunk appends a chunk of a PNG: its length, its name, what is in it, and a checksum of the latter two.
func appendChunk(file []byte, name string, data []byte) []byte {
	file = binary.BigEndian.AppendUint32(file, uint32(len(data)))
	named := append([]byte(name), data...)
	return binary.BigEndian.AppendUint32(append(file, named...), crc32.ChecksumIEEE(named))
}

// magic begins a file of a format that only the tests know. Its decoder is the one with a fault.
const magic = "trouble\n"

func init() {
	image.RegisterFormat("trouble", magic,
		func(r io.Reader) (image.Image, error) { return decodeTrouble(r) },
		func(io.Reader) (image.Config, error) { return image.Config{Width: 1, Height: 1}, nil })
}

// trouble returns a file that makes its decoder do a deed, which first writes its process id to a file, if there is a path.
func trouble(deed, path string) []byte { return []byte(magic + deed + "\n" + path) }

func decodeTrouble(r io.Reader) (image.Image, error) {
	file, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	told := strings.Split(strings.TrimPrefix(string(file), magic), "\n")
	deed, path := told[0], told[1]
	if path != "" {
		if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			return nil, err
		}
	}
	switch deed {
	case "panic":
		panic("a fault of the decoder")
	case "exit":
		os.Exit(0)
	case "hang":
		select {}
	case "read on":
		for !errors.Is(err, context.Canceled) {
			time.Sleep(time.Millisecond) // a decoder that has something to do
			_, err = r.Read(make([]byte, 1))
		}
		return nil, err
	case "wait": // until the file is removed
		for !errors.Is(err, os.ErrNotExist) {
			time.Sleep(time.Millisecond)
			_, err = os.Stat(path)
		}
	default:
		return nil, errors.New("unknown deed " + deed)
	}
	return image.NewGray(image.Rect(0, 0, 1, 1)), nil
}
