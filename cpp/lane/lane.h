// A lane: one thread that runs jobs in the order they came. libtorch's intra-op threads belong to it, so neither the
// host's threads nor libuv's pool ever enter a parallel region (each would grow an OpenMP team of its own).
#pragma once

#include <clipn/core.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

namespace clipn {

class Lane {
 public:
  explicit Lane(uint32_t threads);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // False once closing has begun.
  bool post(clipn_job run, void* context, uint64_t* ticket);
  bool cancel(uint64_t ticket);
  // Hands every queued job's context to `drop`, waits for the running job, joins the thread.
  void close(clipn_job drop);

 private:
  struct Entry {
    uint64_t ticket;
    clipn_job run;
    void* context;
  };

  void work(uint32_t threads);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Entry> queue_;
  uint64_t next_ticket_ = 1;
  bool closing_ = false;
  std::thread thread_;  // last: starts when all else is ready
};

}  // namespace clipn
