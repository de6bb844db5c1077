#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#define CLIPN_PLAIN_SWITCH 1
#else
#include <csetjmp>
#endif

dim3 threadIdx, blockIdx, blockDim;

namespace cuda_on_cpu {
namespace {

constexpr size_t kStackBytes = 128 * 1024;

// Counts arrivals; the last one opens it for all.
struct Barrier {
  unsigned waiting = 0, generation = 0;
};

struct Warp {
  Barrier barrier;
  unsigned size = 0;
  // Two sets in turn: a lane that is one exchange ahead of another must not overwrite what that one still reads.
  alignas(16) char slots[2][32][kSlotBytes];
};

struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  ucontext_t context;
#ifndef CLIPN_PLAIN_SWITCH
  jmp_buf resume;
#endif
  unsigned index;
  unsigned exchanges = 0;
  bool started = false, done = false;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  Barrier barrier;
  ucontext_t scheduler;
#ifndef CLIPN_PLAIN_SWITCH
  jmp_buf scheduler_resume;
#endif
  Fiber* current = nullptr;
  unsigned size = 0;
  std::vector<char> shared;
  const std::function<void()>* thread = nullptr;
};
Block block;

void enter() {
  (*block.thread)();
  block.current->done = true;
#ifdef CLIPN_PLAIN_SWITCH
  setcontext(&block.scheduler);
#else
  _longjmp(block.scheduler_resume, 1);
#endif
}

// From the scheduler into a fiber, until it waits or ends.
void resume(Fiber& fiber) {
  block.current = &fiber;
  threadIdx.x = fiber.index;
#ifdef CLIPN_PLAIN_SWITCH
  swapcontext(&block.scheduler, &fiber.context);
#else
  // swapcontext is a system call; it only starts a fiber. In between, _longjmp takes nanoseconds.
  if (_setjmp(block.scheduler_resume) != 0) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  swapcontext(&block.scheduler, &fiber.context);
#endif
}

// From a fiber back to the scheduler.
void yield() {
  Fiber& fiber = *block.current;
#ifdef CLIPN_PLAIN_SWITCH
  swapcontext(&fiber.context, &block.scheduler);
#else
  if (_setjmp(fiber.resume) == 0) _longjmp(block.scheduler_resume, 1);
#endif
}

void wait(Barrier& barrier, unsigned size) {
  const unsigned generation = barrier.generation;
  if (++barrier.waiting == size) {
    barrier.waiting = 0;
    ++barrier.generation;
    return;
  }
  while (barrier.generation == generation) yield();
}

void run_block() {
  // Bytes that are a NaN in every type: a read of what nothing wrote shows in the scores.
  std::fill(block.shared.begin(), block.shared.end(), '\xff');
  block.barrier = {};
  block.warps.assign((block.size + 31) / 32, {});
  for (unsigned i = 0; i < block.size; ++i) {
    Fiber& fiber = block.fibers[i];
    fiber.index = i;
    fiber.started = fiber.done = false;
    fiber.exchanges = 0;
    ++block.warps[i / 32].size;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  bool busy = true;
  while (busy) {
    busy = false;
    for (unsigned i = 0; i < block.size; ++i) {
      Fiber& fiber = block.fibers[i];
      if (fiber.done) continue;
      resume(fiber);
      busy = true;
    }
  }
}

}  // namespace

Device& device() {
  static Device device;
  return device;
}

char* shared_memory() { return block.shared.data(); }
unsigned lane() { return block.current->index % 32; }

void share(const void* value, size_t bytes) {
  Fiber& fiber = *block.current;
  std::memcpy(block.warps[fiber.index / 32].slots[++fiber.exchanges % 2][fiber.index % 32], value, bytes);
  warp_barrier();
}

const char* slot(unsigned lane) {
  const Fiber& fiber = *block.current;
  return block.warps[fiber.index / 32].slots[fiber.exchanges % 2][lane];
}

void block_barrier() { wait(block.barrier, block.size); }

void warp_barrier() {
  Warp& warp = block.warps[block.current->index / 32];
  wait(warp.barrier, warp.size);
}

void run(dim3 grid, unsigned threads, size_t shared_bytes, const std::function<void()>& thread) {
  block.size = threads;
  blockDim = dim3(threads);
  block.shared.resize(shared_bytes);
  if (block.fibers.size() < threads) block.fibers = std::vector<Fiber>(threads);
  block.thread = &thread;
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      blockIdx = dim3(x, y, 0);
      run_block();
    }
  }
}

}  // namespace cuda_on_cpu
