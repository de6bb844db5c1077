// The resize kernel's own source, run on the CPU (cuda_on_cpu/), against Pillow's bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "cuda/launch.h"
#include "cuda/resize_jobs.h"
#include "error.h"
#include "golden/resize.h"
#include "pictures.h"

namespace clipn {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr uint32_t kLargestSide = 64;  // a fiber a pixel: ten times slower there
#else
constexpr uint32_t kLargestSide = 224;
#endif

// As pixel_feed.cc does it, with "device" memory that is full of a byte.
Bytes resized_together(const std::vector<clipn_image>& images, uint32_t side) {
  ResizePlans plans;
  ResizeJobs jobs(side, plans);
  for (const clipn_image& image : images) jobs.add(image);
  std::vector<uint64_t> packed(jobs.packed_bytes() / 8 + 1, 0xAAAAAAAAAAAAAAAAu);
  jobs.write(reinterpret_cast<uint8_t*>(packed.data()));
  Bytes between(jobs.between_bytes(), 0xAA), out(images.size() * side * side * 3, 0xAA);
  EXPECT_EQ(clipn_cuda_resize(packed.data(), jobs.count(), jobs.most(), between.data(), side, out.data(), nullptr), 0);
  return out;
}

TEST(CudaResize, GivesPillowsBytesForImagesOfAllShapesTogether) {
  std::set<uint32_t> sides;
  for (const ResizeGolden& golden : kResizeGolden) sides.insert(golden.side);
  for (const uint32_t side : sides) {
    if (side > kLargestSide) continue;
    std::vector<Bytes> pictures;
    std::vector<clipn_image> images;
    std::vector<uint64_t> expected;
    for (const ResizeGolden& golden : kResizeGolden) {
      if (golden.side != side) continue;
      // A gap between the rows, which must not be read.
      const uint64_t stride = uint64_t{golden.width} * golden.channels + 3;
      pictures.push_back(picture(golden.width, golden.height, golden.channels, stride));
      images.push_back({pictures.back().data(), golden.width, golden.height, golden.channels, stride});
      expected.push_back(golden.fnv1a);
    }
    const Bytes out = resized_together(images, side);
    const size_t each = size_t{side} * side * 3;
    for (size_t i = 0; i < images.size(); ++i) {
      SCOPED_TRACE(testing::Message() << images[i].width << " x " << images[i].height << " x " << images[i].channels
                                      << " to " << side);
      EXPECT_EQ(fnv1a(Bytes(out.begin() + i * each, out.begin() + (i + 1) * each)), expected[i]);
    }
  }
}

TEST(CudaResize, ImagesOfOneShapeShareTheirWeights) {
  const Bytes data = picture(61, 47, 3, 183);
  const clipn_image image = {data.data(), 61, 47, 3, 183};
  ResizePlans plans;
  ResizeJobs one(8, plans), two(8, plans);
  one.add(image);
  two.add(image);
  two.add(image);
  EXPECT_EQ(plans.size(), 1u);
  EXPECT_LE(two.packed_bytes() - one.packed_bytes(),
            one.window_bytes() + static_cast<int64_t>(sizeof(clipn_cuda_resize_job)) + 16);
  const Bytes out = resized_together({image, image}, 8);
  EXPECT_TRUE(std::equal(out.begin(), out.begin() + 192, out.begin() + 192));
}

TEST(CudaResize, RefusesWhatCannotBe) {
  ResizePlans plans;
  const Bytes data = picture(8, 8, 3, 24);
  ResizeJobs jobs(8, plans);
  jobs.add({data.data(), 8, 8, 3, 24});
  EXPECT_THROW(jobs.add({data.data(), 8, 8, 2, 24}), Error) << "a shape that is known does not excuse the rest";
  EXPECT_EQ(jobs.count(), 1);
  EXPECT_NE(clipn_cuda_resize(nullptr, 0, 64, nullptr, 8, nullptr, nullptr), 0);
  EXPECT_NE(clipn_cuda_resize(nullptr, 1, 64, nullptr, 8193, nullptr, nullptr), 0);
}

}  // namespace
}  // namespace clipn
