package report

import (
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/go-gipc/gipc/bench/internal/measure"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// A Plot shows a figure against the size of messages, one line for each rival, on logarithmic axes.
type Plot struct {
	File, Title, Y string
	lines          []series
}

type series struct {
	name   string
	points plotter.XYs
}

// Plots are those for which there are results of two sizes at least. What Machine.Busy says stands in their titles.
func Plots(results []measure.Result, busy bool) []Plot {
	all := []Plot{
		{File: "throughput.svg", Title: "Throughput to a child", Y: "messages a second",
			lines: lines(results, work.Stream, func(r measure.Row) float64 { return 1e9 / r.Time.Median })},
		{File: "latency.svg", Title: "Round trip with a child, median", Y: "microseconds",
			lines: lines(results, work.Echo, func(r measure.Row) float64 { return r.P50.Median / 1e3 })},
	}
	if busy {
		for i := range all {
			all[i].Title += " (on a busy machine: not to be relied on)"
		}
	}
	return slices.DeleteFunc(all, func(p Plot) bool {
		return !slices.ContainsFunc(p.lines, func(s series) bool { return len(s.points) > 1 })
	})
}

// lines has the rivals in the order in which they first occur.
func lines(results []measure.Result, kind work.Kind, y func(measure.Row) float64) (all []series) {
	for _, result := range results {
		if result.Workload.Kind != kind || result.Workload.Senders > 1 {
			continue
		}
		for _, row := range result.Rows {
			if row.Missing != "" {
				continue
			}
			i := slices.IndexFunc(all, func(s series) bool { return s.name == row.Name })
			if i < 0 {
				i, all = len(all), append(all, series{name: row.Name})
			}
			all[i].points = append(all[i].points, plotter.XY{X: float64(result.Workload.Size), Y: y(row)})
		}
	}
	return all
}

const (
	plotWidth   = 9 * vg.Inch
	plotHeight  = 5 * vg.Inch
	legendWidth = 2 * vg.Inch
)

// Save draws the plot as an SVG into a directory.
func (p *Plot) Save(dir string) error {
	figure := plot.New()
	figure.Title.Text = p.Title
	figure.X.Label.Text, figure.Y.Label.Text = "size of a message", p.Y
	figure.X.Scale, figure.Y.Scale = plot.LogScale{}, plot.LogScale{}
	figure.X.Tick.Marker = plot.ConstantTicks(p.sizes())
	figure.Y.Tick.Marker = powers{}
	figure.Add(plotter.NewGrid())
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.TextStyle.Font.Size, legend.Padding = 9, vg.Points(2)
	for _, f := range []*font.Font{&figure.Title.TextStyle.Font, &figure.X.Label.TextStyle.Font, &figure.Y.Label.TextStyle.Font,
		&figure.X.Tick.Label.Font, &figure.Y.Tick.Label.Font, &legend.TextStyle.Font} {
		f.Typeface, f.Variant = "Liberation", "Sans"
	}
	for i, s := range p.lines {
		l, dots, err := plotter.NewLinePoints(s.points)
		if err != nil {
			return err
		}
		l.LineStyle, dots.GlyphStyle = styles(i, s.name)
		figure.Add(l, dots)
		legend.Add(s.name, l, dots)
	}
	canvas := vgsvg.New(plotWidth, plotHeight)
	whole := draw.New(canvas)
	whole.SetColor(color.White)
	whole.Fill(whole.Path())
	figure.Draw(draw.Crop(whole, 0, -legendWidth, 0, 0))
	legend.Draw(draw.Crop(whole, plotWidth-legendWidth, 0, 0, -vg.Inch/4))
	return write(filepath.Join(dir, p.File), canvas)
}

func write(path string, canvas *vgsvg.Canvas) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

// sizes are the sizes for which there are points.
func (p *Plot) sizes() (ticks []plot.Tick) {
	for _, s := range p.lines {
		for _, xy := range s.points {
			if !slices.ContainsFunc(ticks, func(t plot.Tick) bool { return t.Value == xy.X }) {
				ticks = append(ticks, plot.Tick{Value: xy.X, Label: work.Bytes(int(xy.X))})
			}
		}
	}
	return ticks
}

// powers are ticks at powers of ten, with their multiples between them.
type powers struct{}

// Ticks implements plot.Ticker.
func (powers) Ticks(low, high float64) (ticks []plot.Tick) {
	for power := 1e-3; power <= high; power *= 10 {
		for i := 1.0; i < 10; i++ {
			if v := i * power; v >= low && v <= high {
				label := ""
				if i == 1 || high/low < 30 && (i == 2 || i == 5) {
					label = strings.ReplaceAll(strings.TrimSuffix(number(v), ".00"), ".0 ", " ")
				}
				ticks = append(ticks, plot.Tick{Value: v, Label: label})
			}
		}
	}
	return ticks
}

// palette is Okabe and Ito's, which people with colour blindness tell apart.
var palette = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255},
	{120, 120, 120, 255},
}

var shapes = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}}

// styles make gipc's lines black and wide.
func styles(i int, name string) (draw.LineStyle, draw.GlyphStyle) {
	c, width := palette[i%len(palette)], vg.Points(1)
	if strings.HasPrefix(name, "gipc") {
		c, width = color.RGBA{A: 255}, vg.Points(2.5)
	}
	l := draw.LineStyle{Color: c, Width: width}
	if i/len(palette)%2 == 1 || strings.Contains(name, ",") {
		l.Dashes = []vg.Length{vg.Points(5), vg.Points(2)}
	}
	return l, draw.GlyphStyle{Color: c, Radius: vg.Points(2.5), Shape: shapes[i%len(shapes)]}
}
