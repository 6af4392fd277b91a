package main

import (
	"bytes"
	"image"
	"image/color"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

func TestThumbnails(t *testing.T) {
	s := start(t, nil)
	for name, file := range map[string][]byte{
		"png":          encoded(t, "png", halves(640, 320)),
		"jpeg":         encoded(t, "jpeg", halves(640, 320)),
		"gif":          encoded(t, "gif", halves(640, 320)),
		"animated gif": animated(t, 640, 320),
	} {
		t.Run(name, func(t *testing.T) {
			thumb := wantThumbnail(t, s.post(t, file))
			test.Equal(t, thumb.Bounds(), image.Rect(0, 0, 256, 128))
			wantColor(t, thumb, 10, 10, left)
			wantColor(t, thumb, 120, 120, left)
			wantColor(t, thumb, 135, 10, right)
			wantColor(t, thumb, 250, 120, right)
		})
	}
}

// wantColor wants a colour at a place, or one that JPEG makes of it.
func wantColor(t *testing.T, img image.Image, x, y int, want color.RGBA) {
	t.Helper()
	got := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
	for _, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B), int(got.A) - int(want.A)} {
		if d < -4 || d > 4 {
			t.Fatalf("the colour at %d, %d is %v, want %v", x, y, got, want)
		}
	}
}

// A photo has colours that JPEG mixes. The thumbnail has the mean of each place.
func TestPhoto(t *testing.T) {
	s := start(t, nil)
	const scale = 10
	full := photo(side*scale, side*scale*3/4)
	file := encoded(t, "jpeg", full)
	if len(file) < 500<<10 {
		t.Fatalf("a photo of %d bytes", len(file))
	}
	thumb := wantThumbnail(t, s.post(t, file))
	test.Equal(t, thumb.Bounds(), image.Rect(0, 0, side, side*3/4))
	for _, at := range []image.Point{{10, 10}, {128, 20}, {250, 40}, {128, 60}, {5, 180}, {128, 170}, {250, 185}} {
		var sum [3]int
		for i := range scale * scale {
			c := full.RGBAAt(at.X*scale+i%scale, at.Y*scale+i/scale)
			sum[0], sum[1], sum[2] = sum[0]+int(c.R), sum[1]+int(c.G), sum[2]+int(c.B)
		}
		got := color.RGBAModel.Convert(thumb.At(at.X, at.Y)).(color.RGBA)
		for i, c := range []uint8{got.R, got.G, got.B} {
			if want := sum[i] / (scale * scale); int(c) < want-10 || int(c) > want+10 {
				t.Errorf("the colour at %v is %v, want %v / %d", at, got, sum, scale*scale)
			}
		}
	}
}

// Files that others have made: those with which Go tests its decoders.
func TestFilesOfOthers(t *testing.T) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("no Go, whose files these are: ", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(goroot)), "src", "image", "testdata")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("Go was installed without its files for tests: ", err)
	}
	s := start(t, nil)
	for _, name := range []string{
		"video-001.jpeg", "video-001.progressive.jpeg", "video-001.cmyk.jpeg", "video-001.png", "video-001.gif", "video-001.interlaced.gif",
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join(dir, name))
			test.Check(t, err)
			test.Equal(t, wantThumbnail(t, s.post(t, file)).Bounds(), image.Rect(0, 0, 150, 103))
		})
	}
}

func TestSizes(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct{ width, height, wantWidth, wantHeight int }{
		{1, 1, 1, 1}, {10, 5, 10, 5}, {256, 256, 256, 256}, {257, 256, 256, 255}, {300, 600, 128, 256}, {8192, 1, 256, 1}, {2, 8192, 1, 256},
	} {
		thumb := wantThumbnail(t, s.post(t, encoded(t, "png", halves(c.width, c.height))))
		test.Equal(t, thumb.Bounds(), image.Rect(0, 0, c.wantWidth, c.wantHeight))
	}
}

func TestTransparency(t *testing.T) {
	s := start(t, nil)
	img := image.NewNRGBA(image.Rect(0, 0, 600, 600))
	for i := range img.Pix {
		img.Pix[i] = 128 // half of it shines through
	}
	thumb := wantThumbnail(t, s.post(t, encoded(t, "png", img)))
	wantColor(t, thumb, 100, 100, color.RGBA{R: 64, G: 64, B: 64, A: 128})
}

// What is wrong with a file costs its request, and not even a worker.
func TestBadFiles(t *testing.T) {
	s := start(t, nil)
	whole := encoded(t, "png", halves(640, 320))
	photo := encoded(t, "jpeg", halves(640, 320))
	movie := animated(t, 640, 320)
	changed := bytes.Clone(whole)
	changed[42]++ // a colour
	for name, c := range map[string]struct {
		file   []byte
		reason string // of the standard library's errors a part
	}{
		"nothing":        {nil, "unknown format"},
		"no image":       {[]byte("<html>hello</html>"), "unknown format"},
		"truncated png":  {whole[:len(whole)/2], "png: "},
		"truncated jpeg": {photo[:len(photo)/2], "JPEG"},
		"truncated gif":  {movie[:200], "gif: "},
		"only its start": {whole[:10], "EOF"},
		"a changed png":  {changed, "checksum"},
		"a gif of 0 × 0": {[]byte("GIF89a\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x01\x2c\x00;"), "the image has no pixels"},
		"a bomb":         {bomb(t, 16_000, 16_000), "the image has 16000 × 16000 pixels, the limit is 8192 × 8192"},
		"a wide bomb":    {bomb(t, maxSide+1, 1), "8193 × 1 pixels"},
		"a high bomb":    {bomb(t, 1, maxSide+1), "1 × 8193 pixels"},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.post(t, c.file)
			test.Check(t, a.err)
			if a.status != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), c.reason) {
				t.Errorf("status %d: %.200q", a.status, a.body)
			}
			s.wantWorks(t)
		})
	}
	test.Equal(t, s.pool.Stats().Lost, 0)
}

// The largest image that is not refused fits into a worker.
func TestLargestImage(t *testing.T) {
	s := start(t, nil)
	height := test.Scaled(maxSide)
	thumb := wantThumbnail(t, s.post(t, bomb(t, maxSide, height)))
	test.Equal(t, thumb.Bounds(), image.Rect(0, 0, side, side*height/maxSide))
	test.Equal(t, s.pool.Stats().Lost, 0)
}

func TestLargeUpload(t *testing.T) {
	s := start(t, nil)
	wantRefused(t, s.post(t, make([]byte, maxUpload)), http.StatusUnprocessableEntity, "image: unknown format")
	a := s.post(t, make([]byte, maxUpload+1))
	wantRefused(t, a, http.StatusRequestEntityTooLarge, "the upload is larger than 16 MiB")
	s.wantWorks(t)
}

// An image that ends its worker costs its own request, and none that is on another worker.
func TestCrash(t *testing.T) {
	for _, deed := range []string{"panic", "exit"} {
		t.Run(deed, func(t *testing.T) {
			s := start(t, nil)
			hold, other := s.begin(t, test.Context(t), "wait")
			a := s.post(t, trouble(deed, ""))
			wantRefused(t, a, http.StatusUnprocessableEntity, "the image ended the process that decoded it")
			s.wantWorks(t)
			test.Check(t, os.Remove(hold))
			wantThumbnail(t, <-other)
			test.Equal(t, s.pool.Stats().Lost, 2) // it was tried twice
		})
	}
}

// An image whose worker dies through no fault of its own gets another one.
func TestRetry(t *testing.T) {
	s := start(t, func(o *pool.Options) { o.Max = 1 })
	hold, result := s.begin(t, test.Context(t), "wait")
	test.Check(t, worker(t, hold).Kill())
	test.Eventually(t, "it is tried again", func() bool { return s.pool.Stats().Retried == 1 })
	var a answer
	test.Eventually(t, "it is decoded", func() bool {
		_ = os.Remove(hold) // the new worker may make it yet
		select {
		case a = <-result:
			return true
		default:
			return false
		}
	})
	wantThumbnail(t, a)
}

func TestSlowImage(t *testing.T) {
	s := start(t, func(o *pool.Options) { o.Max, o.Timeout = 1, time.Second })
	a := s.post(t, trouble("hang", ""))
	wantRefused(t, a, http.StatusUnprocessableEntity, "the image takes too long to decode")
	wantRefused(t, s.post(t, nil), http.StatusUnprocessableEntity, "image: unknown format") // quickly, by a fresh worker
	test.Equal(t, s.pool.Stats().Replaced, 1)
}
