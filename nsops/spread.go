package nsops

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Spread calls f for 0 to n-1, on as many goroutines as there are processors: most of
// what is read of many processes is time in system calls. f must be safe for that.
func Spread(n int, f func(i int)) {
	const chunk = 16
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+chunk-1)/chunk) {
		wg.Go(func() {
			for {
				end := int(next.Add(chunk))
				if end-chunk >= n {
					return
				}
				for i := end - chunk; i < min(end, n); i++ {
					f(i)
				}
			}
		})
	}
	wg.Wait()
}
