// Package stack gives the goroutine that starts dx a stack on which an exec finds room. Go
// begins with 2 KiB, and copies the stack each time that it doubles. The package imports
// nothing, so that the language's order has it initialised before what would make the stack
// grow.
package stack

func init() { grow() }

// grow needs a frame larger than half of the wanted stack, and touches nothing of it.
func grow()
