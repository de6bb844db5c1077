#include "tower/tasks.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "tower/gemm.h"

#ifndef _OPENMP
#error "compile with -fopenmp: without it at::parallel_for runs serially, and nothing says so"
#endif

namespace clipn {
namespace {

// A thread that waits looks so often, about half a millisecond, before it sleeps in between: waits are shorter, but
// where cores are shared it takes them from the thread that it waits for.
constexpr int kLooks = 1000;
constexpr std::chrono::microseconds kSleep{100};

// Steps on their way. Tasks are numbered through, and taken in that order: what one needs has been taken before it, so
// that waiting for it ends, on however many threads.
class Progress {
 public:
  explicit Progress(const std::vector<Step>& steps) : steps_(steps) {
    for (const Step& step : steps) first_.push_back(first_.back() + step.tasks);
    done_ = std::vector<std::atomic<bool>>(static_cast<size_t>(tasks()));
  }

  int64_t tasks() const { return first_.back(); }

  // One thread's part.
  void run(int64_t thread) {
    size_t step = 0;
    for (int64_t i = next_++; i < tasks() && !failed_; i = next_++) {
      while (i >= first_[step + 1]) ++step;
      const int64_t task = i - first_[step];
      try {
        if (step > 0 && !wait_for(first_[step - 1], steps_[step].needs(task))) return;
        steps_[step].run(task, thread);
      } catch (...) {
        failed_ = true;
        throw;
      }
      done_[i].store(true, std::memory_order_release);
    }
  }

 private:
  // Whether they were done; false when one never will be.
  bool wait_for(int64_t first, TaskRange range) const {
    for (int64_t k = first + range.begin; k < first + range.end; ++k) {
      for (int looks = 0; !done_[k].load(std::memory_order_acquire); ++looks) {
        if (failed_) return false;
        if (looks < kLooks) {
          std::this_thread::yield();
        } else {
          std::this_thread::sleep_for(kSleep);
        }
      }
    }
    return true;
  }

  const std::vector<Step>& steps_;
  std::vector<int64_t> first_{0};
  std::vector<std::atomic<bool>> done_;
  std::atomic<int64_t> next_{0};
  std::atomic<bool> failed_{false};
};

}  // namespace

void run_steps(const std::vector<Step>& steps) {
  Progress progress(steps);
  at::parallel_for(0, std::min<int64_t>(progress.tasks(), at::get_num_threads()), 1, [&](int64_t, int64_t) {
    const ReleaseTiles release;
    progress.run(at::get_thread_num());
  });
}

void for_each_task(int64_t tasks, const std::function<void(int64_t, int64_t)>& run) {
  run_steps({{.tasks = tasks, .run = run, .needs = {}}});
}

}  // namespace clipn
