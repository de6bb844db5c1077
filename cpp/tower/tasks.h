// What the lane's threads share out between them: tasks, of one kind or of steps that follow on each other.
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
  /// Those of the step before that are to be done first, none beyond its last; a first step is not asked. What else
  /// must have ended, for its memory is written again, must follow from these and what they needed.
  std::function<TaskRange(int64_t task)> needs;
};

/// Runs the tasks of all steps, each once, on whichever thread is free. A thread takes the next in order and stands
/// still only for what that one needs, not for the end of the step before. What is thrown in one is thrown here, and
/// tasks not yet begun are left.
void run_steps(const std::vector<Step>& steps);

/// Runs task 0 .. tasks - 1: one step.
void for_each_task(int64_t tasks, const std::function<void(int64_t task, int64_t thread)>& run);

}  // namespace clipn

#endif  // CLIPN_TOWER_TASKS_H_
