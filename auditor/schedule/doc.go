// Package schedule says when runs are made: robfig/cron with its traps closed.
//
//   - Times are in UTC, whatever the machine and the plan say, so that no slot is lost or doubled when clocks change.
//   - Two runs never overlap. A slot that comes while a run is under way is skipped and counted, never queued.
//   - A panic of a run is survived and counted, and the next slot is as good as any.
//   - A run has a deadline, and the scheduler shows that it lives by a heartbeat that nothing else moves: it stops when
//     cron's loop stops, and while a run is overdue.
//   - After a suspended machine there is one run to catch up, however many slots were missed; a clock that is set back
//     does not make the schedule wait for the lost time again.
//   - A plan that can never be carried out is refused before it is used.
package schedule
