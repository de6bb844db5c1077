// Compiled with lane.cpp alone under ThreadSanitizer too: it includes nothing else of the core.
#include "lane/lane.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace clipn {
namespace {

// What libtorch takes when nobody asks: before any lane sets a number.
const int kUsualThreads = at::get_num_threads();

// A context that runs a lambda; it must outlive the lane.
struct Job {
  std::function<void()> work;
  static void run(void* context) { static_cast<Job*>(context)->work(); }
};

// A running job that ends when it is told to; constructing it waits until it runs.
class Held {
 public:
  explicit Held(Lane& lane)
      : job_{[this] {
          started_.set_value();
          released_.get_future().wait();
        }} {
    EXPECT_TRUE(lane.post(Job::run, &job_, &ticket_));
    started_.get_future().wait();
  }
  void release() { released_.set_value(); }
  uint64_t ticket() const { return ticket_; }

 private:
  std::promise<void> started_, released_;
  Job job_;
  uint64_t ticket_ = 0;
};

void wait_until_idle(Lane& lane) {
  std::promise<void> done;
  Job last{[&] { done.set_value(); }};
  ASSERT_TRUE(lane.post(Job::run, &last, nullptr));
  done.get_future().wait();
}

TEST(Lane, RunsJobsInTheOrderTheyCame) {
  Lane lane(1);
  std::vector<int> ran;
  std::vector<Job> jobs;
  for (int i = 0; i < 1000; ++i) jobs.push_back({[&ran, i] { ran.push_back(i); }});
  for (Job& job : jobs) ASSERT_TRUE(lane.post(Job::run, &job, nullptr));
  wait_until_idle(lane);
  std::vector<int> expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(ran, expected);
}

TEST(Lane, KeepsTheOrderOfEachOfSeveralPostingThreads) {
  constexpr int kThreads = 4, kJobs = 300;
  Lane lane(1);
  std::vector<std::vector<int>> ran(kThreads);
  std::vector<std::vector<Job>> jobs(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kJobs; ++i) jobs[t].push_back({[&ran, t, i] { ran[t].push_back(i); }});
  }
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (Job& job : jobs[t]) lane.post(Job::run, &job, nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  wait_until_idle(lane);
  std::vector<int> expected(kJobs);
  std::iota(expected.begin(), expected.end(), 0);
  for (const std::vector<int>& each : ran) EXPECT_EQ(each, expected);
}

TEST(Lane, RunsEveryJobOnOneThreadOfItsOwn) {
  Lane lane(1);
  std::vector<std::thread::id> ids;
  Job job{[&] { ids.push_back(std::this_thread::get_id()); }};
  for (int i = 0; i < 3; ++i) lane.post(Job::run, &job, nullptr);
  wait_until_idle(lane);
  EXPECT_EQ(ids, std::vector<std::thread::id>(3, ids.at(0)));
  EXPECT_NE(ids[0], std::this_thread::get_id());
}

TEST(Lane, GoesOnAfterAJobThatThrowsWhatIsNoStdException) {
  Lane lane(1);
  Job throwing{[] { throw 7; }};
  bool ran = false;
  Job next{[&] { ran = true; }};
  ASSERT_TRUE(lane.post(Job::run, &throwing, nullptr));
  ASSERT_TRUE(lane.post(Job::run, &next, nullptr));
  wait_until_idle(lane);
  EXPECT_TRUE(ran);
}

TEST(Lane, SetsTheIntraOpThreadsOfItsOwnThreadOnly) {
  const int here = at::get_num_threads();
  int there = 0;
  Job job{[&] { there = at::get_num_threads(); }};
  Lane lane(static_cast<uint32_t>(here) + 1);
  lane.post(Job::run, &job, nullptr);
  wait_until_idle(lane);
  EXPECT_EQ(there, here + 1);
  EXPECT_EQ(at::get_num_threads(), here);
}

TEST(Lane, KeepsItsIntraOpThreadsWhateverOtherLanesHave) {
  Lane three(3), usual(0), two(2);
  const auto threads_of = [](Lane& lane) {
    int threads = 0;
    Job job{[&] {
      at::internal::lazy_init_num_threads();  // as a parallel region of this library does
      threads = at::get_num_threads();
    }};
    lane.post(Job::run, &job, nullptr);
    wait_until_idle(lane);
    return threads;
  };
  EXPECT_EQ(threads_of(three), 3);
  EXPECT_EQ(threads_of(usual), kUsualThreads);
  EXPECT_EQ(threads_of(two), 2);
  EXPECT_EQ(threads_of(three), 3);
}

TEST(Lane, CancelsAQueuedJobOnce) {
  Lane lane(1);
  Held running(lane);
  bool ran = false, other_ran = false;
  Job job{[&] { ran = true; }}, other{[&] { other_ran = true; }};
  uint64_t ticket = 0;
  lane.post(Job::run, &job, &ticket);
  lane.post(Job::run, &other, nullptr);
  EXPECT_TRUE(lane.cancel(ticket));
  EXPECT_FALSE(lane.cancel(ticket));
  running.release();
  wait_until_idle(lane);
  EXPECT_FALSE(ran);
  EXPECT_TRUE(other_ran);
}

TEST(Lane, DoesNotCancelWhatRunsIsDoneOrUnknown) {
  Lane lane(1);
  Held running(lane);
  EXPECT_FALSE(lane.cancel(running.ticket()));
  EXPECT_FALSE(lane.cancel(running.ticket() + 1000));
  running.release();
  wait_until_idle(lane);
  EXPECT_FALSE(lane.cancel(running.ticket()));
}

TEST(Lane, ClosingOnAnotherThreadDropsTheQueuedInOrderAndWaitsForTheRunning) {
  static std::vector<void*> dropped;
  dropped.clear();
  auto lane = std::make_unique<Lane>(1);
  Held running(*lane);
  bool ran = false;
  std::vector<Job> queued(3, Job{[&] { ran = true; }});
  for (Job& job : queued) lane->post(Job::run, &job, nullptr);

  std::future<void> closed = std::async(std::launch::async, [&] {
    lane->close([](void* context) { dropped.push_back(context); });
    lane.reset();
  });
  EXPECT_EQ(closed.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  running.release();
  closed.get();
  EXPECT_EQ(dropped, (std::vector<void*>{&queued[0], &queued[1], &queued[2]}));
  EXPECT_FALSE(ran);
}

TEST(Lane, TakesNoJobOnceClosingHasBegun) {
  auto lane = std::make_unique<Lane>(1);
  std::promise<void> started, closing;
  Job none{[] {}};
  bool taken = true;
  Job running{[&] {
    started.set_value();
    closing.get_future().wait();
    taken = lane->post(Job::run, &none, nullptr);
  }};
  lane->post(Job::run, &running, nullptr);
  started.get_future().wait();
  struct Queued {
    std::promise<void>& closing;
  } queued{closing};
  // Its dropping tells that closing has begun.
  lane->post([](void*) {}, &queued, nullptr);
  lane->close([](void* context) { static_cast<Queued*>(context)->closing.set_value(); });
  EXPECT_FALSE(taken);
  EXPECT_FALSE(lane->post(Job::run, &none, nullptr));
}

TEST(Lane, AnIdleOneClosesAndClosingTwiceIsHarmless) {
  Lane lane(0);
  lane.close(nullptr);
  lane.close(nullptr);
}

TEST(Lane, EveryJobIsRunCancelledDroppedOrRefusedOnce) {
  static std::atomic<int> dropped;
  for (int round = 0; round < 20; ++round) {
    constexpr int kThreads = 3, kJobs = 200;
    dropped = 0;
    std::atomic<int> ran = 0, cancelled = 0, refused = 0, posted = 0;
    Job job{[&] { ++ran; }};
    Lane lane(1);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kJobs; ++i) {
          uint64_t ticket = 0;
          if (!lane.post(Job::run, &job, &ticket))
            ++refused;
          else if (i % 3 == 0 && lane.cancel(ticket))
            ++cancelled;
          ++posted;
        }
      });
    }
    while (posted < kThreads * kJobs / 2) std::this_thread::yield();
    lane.close([](void*) { ++dropped; });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ran + cancelled + dropped + refused, kThreads * kJobs);
  }
}

}  // namespace
}  // namespace clipn
