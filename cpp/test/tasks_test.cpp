// Tasks of steps: each once, none before what it needs.
#include "tower/tasks.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace clipn {
namespace {

TEST(Tasks, AreRunOnceEach) {
  const int64_t threads = at::get_num_threads();
  std::vector<std::atomic<int>> runs(100);
  for_each_task(100, [&](int64_t task, int64_t thread) {
    EXPECT_LT(thread, threads);
    ++runs[task];
  });
  EXPECT_TRUE(std::all_of(runs.begin(), runs.end(), [](const auto& count) { return count == 1; }));
}

TEST(Tasks, OfNoneAreDone) {
  for_each_task(0, [](int64_t, int64_t) { FAIL(); });
}

TEST(Steps, RunNoTaskBeforeWhatItNeedsNorFarAheadOfIt) {
  constexpr int64_t kSteps = 30, kTasks = 7;
  std::vector<std::atomic<int64_t>> steps_done(kTasks);
  std::atomic<int> wrong{0};
  // A task needs that before it, its own and that after it; some are slow.
  const auto needed = [&](int64_t task) {
    return TaskRange{std::max<int64_t>(0, task - 1), std::min<int64_t>(kTasks, task + 2)};
  };
  std::vector<Step> steps;
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto run = [&, step](int64_t task, int64_t) {
      const TaskRange range = needed(task);
      // Nor may one that needs this task have gone on to the step after the next.
      const auto look = [&] {
        for (int64_t other = range.begin; other < range.end; ++other) {
          wrong += steps_done[other] < step || steps_done[other] > step + 1 ? 1 : 0;
        }
      };
      look();
      if ((task + step) % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      look();
      ++steps_done[task];
    };
    steps.push_back({.tasks = kTasks, .run = run, .needs = needed});
  }
  run_steps(steps);
  EXPECT_EQ(wrong, 0);
  for (const auto& done : steps_done) EXPECT_EQ(done, kSteps);
}

TEST(Steps, GoOnWhileATaskThatTheNextDoesNotNeedIsSlow) {
  if (at::get_num_threads() < 2) GTEST_SKIP() << "one thread alone";
  std::atomic<bool> second_ran{false}, went_on{false};
  const auto first = [&](int64_t task, int64_t) {
    if (task == 0) return;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!second_ran && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    went_on = second_ran.load();
  };
  const auto same = [](int64_t task) { return TaskRange{task, task + 1}; };
  run_steps({{.tasks = 2, .run = first, .needs = {}},
             {.tasks = 1, .run = [&](int64_t, int64_t) { second_ran = true; }, .needs = same}});
  EXPECT_TRUE(went_on);
}

TEST(Steps, ThrowWhatNeedsThrewAndLeaveTheRest) {
  const auto nothing = [](int64_t, int64_t) {};
  const auto fails = [](int64_t) -> TaskRange { throw std::runtime_error("no"); };
  const auto all = [](int64_t) { return TaskRange{0, 5}; };
  EXPECT_THROW(run_steps({{.tasks = 5, .run = nothing, .needs = {}},
                          {.tasks = 5, .run = nothing, .needs = fails},
                          {.tasks = 5, .run = nothing, .needs = all}}),
               std::runtime_error);
}

TEST(Tasks, AreLeftWhenOneHasThrown) {
  std::atomic<int> ran{0};
  const auto run = [&](int64_t task, int64_t) {
    if (task == 0) throw std::runtime_error("no");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ++ran;
  };
  EXPECT_THROW(for_each_task(1000, run), std::runtime_error);
  EXPECT_LT(ran, 999);
}

TEST(Steps, ThrowWhatATaskThrewAndLeaveWhatNeedsIt) {
  std::atomic<bool> ran{false};
  const auto fails = [](int64_t, int64_t) { throw std::runtime_error("no"); };
  const auto all = [](int64_t) { return TaskRange{0, 1}; };
  EXPECT_THROW(run_steps({{.tasks = 1, .run = fails, .needs = {}},
                          {.tasks = 3, .run = [&](int64_t, int64_t) { ran = true; }, .needs = all}}),
               std::runtime_error);
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace clipn
