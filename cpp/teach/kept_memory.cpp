#include "teach/kept_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace clipn {
namespace {

constexpr size_t kSmallest = 256 << 10, kGrain = 64 << 10, kChunk = 64 << 20;  // bytes

// libtorch's, unless somebody set another before this library was loaded.
c10::Allocator* const beneath = c10::GetCPUAllocator();

}  // namespace

// Best fit within chunks of the allocator beneath; neighbours that are free are one piece.
struct KeptMemory::Chunks {
  std::mutex mutex;
  std::vector<c10::DataPtr> chunks;
  std::map<std::byte*, size_t> free;

  std::byte* take(size_t size) {
    const std::scoped_lock lock(mutex);
    auto best = free.end();
    for (auto piece = free.begin(); piece != free.end(); ++piece) {
      if (piece->second >= size && (best == free.end() || piece->second < best->second)) best = piece;
    }
    if (best == free.end()) {
      const size_t chunk = std::max(size, kChunk);
      chunks.push_back(beneath->allocate(chunk));
      best = free.emplace(static_cast<std::byte*>(chunks.back().get()), chunk).first;
    }
    const auto [data, length] = *best;
    free.erase(best);
    if (length > size) free.emplace(data + size, length - size);
    return data;
  }

  void give_back(std::byte* data, size_t size) {
    const std::scoped_lock lock(mutex);
    auto piece = free.emplace(data, size).first;
    const auto next = std::next(piece);
    if (next != free.end() && next->first == data + size) {
      piece->second += next->second;
      free.erase(next);
    }
    if (piece == free.begin()) return;
    const auto before = std::prev(piece);
    if (before->first + before->second == data) {
      before->second += piece->second;
      free.erase(piece);
    }
  }
};

namespace {

using Chunks = KeptMemory::Chunks;

thread_local const std::shared_ptr<Chunks>* in_use = nullptr;

// What tensors hold, by address: libtorch's raw_deallocate brings nothing else.
struct Lent {
  std::shared_ptr<Chunks> from;
  size_t size;
};
struct Ledger {
  std::mutex mutex;
  std::unordered_map<void*, Lent> lent;
};

// What every thread's tensors reach is never destroyed: some may live on while the process ends.
template <typename T>
T& immortal() {
  static T& only = *std::make_unique<T>().release();
  return only;
}

void give_back(void* data) {
  Lent returned;
  {
    Ledger& ledger = immortal<Ledger>();
    const std::scoped_lock lock(ledger.mutex);
    const auto found = ledger.lent.find(data);
    if (found != ledger.lent.end()) {
      returned = std::move(found->second);
      ledger.lent.erase(found);
    }
  }
  if (returned.from == nullptr) return beneath->raw_deallocate(data);
  returned.from->give_back(static_cast<std::byte*>(data), returned.size);
}

struct LendingAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    if (in_use == nullptr || bytes < kSmallest) return beneath->allocate(bytes);
    const size_t size = (bytes + kGrain - 1) / kGrain * kGrain;
    std::byte* const data = (*in_use)->take(size);
    Ledger& ledger = immortal<Ledger>();
    const std::scoped_lock lock(ledger.mutex);
    ledger.lent.emplace(data, Lent{*in_use, size});
    return {data, data, &give_back, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

// libtorch has one allocator of CPU tensors for all threads and no lock around it, so it is set while this library
// is being loaded. Without a Use it passes everything on.
const bool installed = [] {
  c10::SetCPUAllocator(&immortal<LendingAllocator>());
  return true;
}();

}  // namespace

KeptMemory::KeptMemory() : chunks_(std::make_shared<Chunks>()) {}
KeptMemory::Use::Use(const KeptMemory& memory) { in_use = &memory.chunks_; }
KeptMemory::Use::~Use() { in_use = nullptr; }

}  // namespace clipn
