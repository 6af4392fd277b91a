package limits

// unsupported names what a job can't hold.
func (l *Limits) unsupported() string {
	rest := *l
	rest.Memory, rest.Processes = 0, 0
	return rest.first()
}
