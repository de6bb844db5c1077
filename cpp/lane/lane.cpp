#include "lane/lane.h"

#include <ATen/Parallel.h>
#include <c10/util/thread_name.h>

#include <chrono>

namespace clipn {
namespace {

// Of this thread alone, whatever other lanes have; 0: what libtorch takes when nobody asks. A thread that first asks
// for its number is given the one that was set last on any thread, and so is one that first enters a parallel region of
// this library, which has a flag of its own: both have to be behind it before the number is set.
void set_intra_op_threads(uint32_t threads) {
  static const int usual = at::get_num_threads();
  at::get_num_threads();
  at::internal::lazy_init_num_threads();
  at::set_num_threads(threads > 0 ? static_cast<int>(threads) : usual);
}

}  // namespace

Lane::Lane(uint32_t threads) : thread_([this, threads] { work(threads); }) {}

Lane::~Lane() { close(nullptr); }

bool Lane::post(clipn_job run, void* context, uint64_t* ticket) {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return false;
    if (ticket != nullptr) *ticket = next_ticket_;
    queue_.push_back({next_ticket_++, run, context});
  }
  wake_.notify_one();
  return true;
}

bool Lane::cancel(uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  return std::erase_if(queue_, [ticket](const Entry& entry) { return entry.ticket == ticket; }) > 0;
}

void Lane::close(clipn_job drop) {
  std::deque<Entry> dropped;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    dropped.swap(queue_);
  }
  wake_.notify_one();
  if (drop != nullptr) {
    for (const Entry& entry : dropped) drop(entry.context);
  }
  if (thread_.joinable()) thread_.join();
}

void Lane::work(uint32_t threads) {
  c10::setThreadName("clipn-lane");
  set_intra_op_threads(threads);
  std::unique_lock lock(mutex_);
  while (true) {
    // Not wait(): it binds to a symbol of GCC 12's library, which RHEL 9 and Amazon Linux 2023 lack.
    while (!closing_ && queue_.empty()) wake_.wait_for(lock, std::chrono::hours(1));
    if (queue_.empty()) return;
    const Entry entry = queue_.front();
    queue_.pop_front();
    lock.unlock();
    try {
      entry.run(entry.context);
    } catch (...) {  // an exception of any kind would end the process, and with it what other jobs were about to say
    }
    lock.lock();
  }
}

}  // namespace clipn
