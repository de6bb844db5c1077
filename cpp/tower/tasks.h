// What the lane's threads share out between them: tasks, of one kind or of steps that follow on each other, and the
// blocks of rows that most tasks are.
#ifndef CLIPN_TOWER_TASKS_H_
#define CLIPN_TOWER_TASKS_H_

#include <cstdint>
#include <functional>
#include <vector>

namespace clipn {

/// Tasks [begin, end) of a step.
struct TaskRange {
  int64_t begin, end;
};

/// Tasks of one kind.
struct Step {
  int64_t tasks;
  /// `thread` < at::get_num_threads().
  std::function<void(int64_t task, int64_t thread)> run;
  /// Those of the step before that are to be done first; a first step is not asked.
  std::function<TaskRange(int64_t task)> needs;
};

/// Runs the tasks of all steps, each once, on whichever thread is free. A thread takes the next in order and waits for
/// what that one needs, not for the whole step before: no thread stands still because a step has not enough tasks left
/// for all. What a task throws is thrown here, and those not yet begun are left.
void run_steps(const std::vector<Step>& steps);

/// Runs task 0 .. tasks - 1: one step.
void for_each_task(int64_t tasks, const std::function<void(int64_t task, int64_t thread)>& run);

/// Splits rows into blocks of at most kMostRows whose number is a multiple of the threads, where there are enough.
struct RowBlocks {
  explicit RowBlocks(int64_t rows);
  int64_t begin(int64_t block) const { return rows * block / count; }
  /// The block that has a row.
  int64_t of(int64_t row) const { return ((row + 1) * count - 1) / rows; }
  int64_t rows, count;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_TASKS_H_
