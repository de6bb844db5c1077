// Memory of training steps: what is taken again, and how long it lives.
#include "teach/kept_memory.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>

namespace clipn {
namespace {

constexpr int64_t kMegabyte = 1 << 20;

at::Tensor megabytes(int64_t count) { return at::empty({count * kMegabyte}, at::kByte); }

TEST(KeptMemory, IsTakenAgainByTensorsOfAnotherSize) {
  const KeptMemory memory;
  const KeptMemory::Use use(memory);
  std::optional<at::Tensor> first = megabytes(3);
  const void* const place = first->data_ptr();
  first.reset();
  EXPECT_EQ(megabytes(2).data_ptr(), place);
}

TEST(KeptMemory, OfNeighboursServesOneTensorOfTheirSize) {
  const KeptMemory memory;
  const KeptMemory::Use use(memory);
  // The rest of the chunk is in use, so that nothing but the three fits.
  std::optional<at::Tensor> a = megabytes(2), b = megabytes(3), c = megabytes(4);
  const at::Tensor rest = megabytes(64 - 9);
  const void* const place = a->data_ptr();
  for (std::optional<at::Tensor>* each : {&a, &c, &b}) each->reset();
  EXPECT_EQ(megabytes(9).data_ptr(), place);
}

TEST(KeptMemory, IsNotTakenWhileATensorHoldsIt) {
  const KeptMemory memory;
  const KeptMemory::Use use(memory);
  const at::Tensor sevens = at::full({kMegabyte}, 7, at::kByte), eights = at::full({kMegabyte}, 8, at::kByte);
  EXPECT_TRUE(sevens.eq(7).all().item<bool>());
  EXPECT_TRUE(eights.eq(8).all().item<bool>());
}

TEST(KeptMemory, IsForOneThreadAndOneUse) {
  const KeptMemory memory;
  const void* place = nullptr;
  {
    const KeptMemory::Use use(memory);
    place = megabytes(2).data_ptr();
    std::thread([&] { EXPECT_NE(megabytes(2).data_ptr(), place); }).join();
  }
  EXPECT_NE(megabytes(2).data_ptr(), place);
  const KeptMemory::Use again(memory);
  EXPECT_EQ(megabytes(2).data_ptr(), place);
}

TEST(KeptMemory, OutlivesItsOwnerWithItsTensors) {
  auto memory = std::make_unique<KeptMemory>();
  auto use = std::make_unique<KeptMemory::Use>(*memory);
  at::Tensor sevens = at::full({kMegabyte}, 7, at::kByte);
  use.reset();
  memory.reset();
  EXPECT_TRUE(sevens.eq(7).all().item<bool>());
  std::thread([moved = std::move(sevens)]() mutable { moved.reset(); }).join();
}

TEST(KeptMemory, IsGivenBackByAddressToo) {
  const KeptMemory memory;
  const KeptMemory::Use use(memory);
  c10::Allocator* const allocator = c10::GetCPUAllocator();
  void* const place = allocator->raw_allocate(2 * kMegabyte);
  allocator->raw_deallocate(place);
  EXPECT_EQ(megabytes(2).data_ptr(), place);
  void* const small = allocator->raw_allocate(64);
  allocator->raw_deallocate(small);
}

}  // namespace
}  // namespace clipn
