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

c10::Allocator* libtorchs_allocator() {
  static c10::Allocator* const found = c10::GetDefaultCPUAllocator();
  return found;
}

}  // namespace

// Best fit within chunks of libtorch's own allocator; neighbours that are free are one piece.
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
      chunks.push_back(libtorchs_allocator()->allocate(chunk));
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
std::mutex lent_mutex;
std::unordered_map<void*, Lent> lent;

void give_back(void* data) {
  Lent returned;
  {
    const std::scoped_lock lock(lent_mutex);
    const auto found = lent.find(data);
    if (found != lent.end()) {
      returned = std::move(found->second);
      lent.erase(found);
    }
  }
  if (returned.from == nullptr) return libtorchs_allocator()->raw_deallocate(data);
  returned.from->give_back(static_cast<std::byte*>(data), returned.size);
}

struct LendingAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    if (in_use == nullptr || bytes < kSmallest) return libtorchs_allocator()->allocate(bytes);
    const size_t size = (bytes + kGrain - 1) / kGrain * kGrain;
    std::byte* const data = (*in_use)->take(size);
    const std::scoped_lock lock(lent_mutex);
    lent.emplace(data, Lent{*in_use, size});
    return {data, data, &give_back, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

// libtorch has one allocator of CPU tensors for all threads and no lock around it, so it is set while this library
// is being loaded. Without a Use it passes everything on.
const bool installed = [] {
  static LendingAllocator allocator;
  c10::SetCPUAllocator(&allocator);
  return true;
}();

}  // namespace

KeptMemory::KeptMemory() : chunks_(std::make_shared<Chunks>()) {}
KeptMemory::Use::Use(const KeptMemory& memory) { in_use = &memory.chunks_; }
KeptMemory::Use::~Use() { in_use = nullptr; }

}  // namespace clipn
