package rbac

// CompileSteps compiles doc and returns how many steps it took through the
// hierarchy, and how many mistakes it found.
func CompileSteps(names []string, doc *Document) (steps, faults int) {
	c := newCompiler(names, doc)
	_, errs := c.compile()
	return c.steps, len(errs)
}
