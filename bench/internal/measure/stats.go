// Package measure runs rivals in turn and makes figures of their rounds.
package measure

import "slices"

// Spread is a median with the least and the greatest of its values.
type Spread struct {
	Median, Least, Most float64
}

// SpreadOf returns the Spread of values, which it leaves alone. The median of an even number of them is the mean of the middle
// two. It is zero if there are none.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return Spread{Median: (s[(n-1)/2] + s[n/2]) / 2, Least: s[0], Most: s[n-1]}
}

// Ratios divides each of base by the value of the same round. A ratio above 1 says that the round was faster than its base.
func Ratios(base, values []float64) []float64 {
	ratios := make([]float64, 0, len(values))
	for i := range min(len(base), len(values)) {
		ratios = append(ratios, base[i]/values[i])
	}
	return ratios
}
