package audit

// AppendLine is (*Event).appendLine.
func AppendLine(dst []byte, e *Event) []byte { return e.appendLine(dst) }
