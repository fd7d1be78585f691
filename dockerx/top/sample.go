package top

import (
	"context"
	"time"

	"dx/nsops/proc"
)

// Sample replaces the use of the CPU over the processes' lives by that over some time, of
// all lists at once. One that has ended meanwhile keeps what it had.
func Sample(ctx context.Context, d time.Duration, lists ...[]Task) error {
	begin := time.Now()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, tasks := range lists {
		for i := range tasks {
			stat, err := proc.StatOf(tasks[i].PID)
			if err != nil || stat.StartTime != tasks[i].start {
				continue
			}
			tasks[i].since(tasks[i].CPU, ticks(stat.UTime+stat.STime), time.Since(begin))
		}
	}
	return nil
}

// Since replaces the use of the CPU over the processes' lives by that since an earlier look.
// One that was not there yet keeps what it has.
func (t *Top) Since(before Top) {
	used := make(map[int]Task, len(before.Tasks))
	for _, task := range before.Tasks {
		used[task.PID] = task
	}
	for i := range t.Tasks {
		was, ok := used[t.Tasks[i].PID]
		if ok && was.start == t.Tasks[i].start {
			t.Tasks[i].since(was.CPU, t.Tasks[i].CPU, t.At.Sub(before.At))
		}
	}
}

func (t *Task) since(before, now, elapsed time.Duration) {
	t.Percent, t.CPU = percent(now-before, elapsed), now
}
