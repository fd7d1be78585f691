package nsops_test

import (
	"fmt"

	"dx/nsops"
	"dx/nsops/proc"
)

// Two processes are compared by the namespaces in which they are.
func ExampleSet_DifferentFromSelf() {
	self, err := proc.Self()
	if err != nil {
		fmt.Println(err)
		return
	}
	one, err := nsops.Read(self)
	if err != nil {
		fmt.Println(err)
		return
	}
	other, err := nsops.Read(self) // of another process, for once
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(one.DifferentFromSelf(other))
	// Output: []
}
