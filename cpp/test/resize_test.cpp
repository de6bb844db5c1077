#include "image/resize.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "error.h"
#include "golden/resize.h"
#include "pictures.h"
#include "targets.h"

namespace clipn {
namespace {

Bytes resized(const cpu::Kernels& kernels, const clipn_image& image, uint32_t side) {
  Bytes out(size_t{side} * side * 3);
  resize_crop(kernels, image, side, out.data());
  return out;
}

class Resize : public PerTarget {};
CLIPN_FOR_EVERY_TARGET(Resize);

TEST_P(Resize, GivesPillowsBytes) {
  for (const ResizeGolden& golden : kResizeGolden) {
    SCOPED_TRACE(testing::Message() << golden.width << " x " << golden.height << " x " << golden.channels << " to "
                                    << golden.side);
    const uint64_t stride = uint64_t{golden.width} * golden.channels;
    const Bytes data = picture(golden.width, golden.height, golden.channels, stride);
    const Bytes out =
        resized(*GetParam(), {data.data(), golden.width, golden.height, golden.channels, stride}, golden.side);
    if (!golden.bytes.empty()) EXPECT_EQ(out, golden.bytes);
    EXPECT_EQ(fnv1a(out), golden.fnv1a);
  }
}

TEST_P(Resize, ReadsNoByteBetweenTheRows) {
  for (const uint32_t channels : {1u, 3u, 4u}) {
    const Bytes dense = picture(61, 47, channels, 61 * channels);
    const Bytes wide = picture(61, 47, channels, 61 * channels + 5);
    EXPECT_EQ(resized(*GetParam(), {dense.data(), 61, 47, channels, 61u * channels}, 32),
              resized(*GetParam(), {wide.data(), 61, 47, channels, 61u * channels + 5}, 32));
  }
}

TEST_P(Resize, IgnoresAlpha) {
  Bytes data = picture(61, 47, 4, 244);
  const Bytes before = resized(*GetParam(), {data.data(), 61, 47, 4, 244}, 32);
  for (size_t i = 3; i < data.size(); i += 4) data[i] = static_cast<uint8_t>(255 - data[i]);
  EXPECT_EQ(resized(*GetParam(), {data.data(), 61, 47, 4, 244}, 32), before);
}

// The whole resized image of 1 x 65500 at 224 would be 9.9 GB.
TEST_P(Resize, NeedsMemoryForTheCropWindowOnly) {
  const auto peak_megabytes = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
  };
  const Bytes grey(65500, 77), expected(224 * 224 * 3, 77);
  const auto before = peak_megabytes();
  EXPECT_EQ(resized(*GetParam(), {grey.data(), 1, 65500, 1, 1}, 224), expected);
  EXPECT_EQ(resized(*GetParam(), {grey.data(), 65500, 1, 1, 65500}, 224), expected);
  EXPECT_LE(peak_megabytes() - before, 16);
}

TEST(ResizeArguments, OutsideTheirRangeAreRefused) {
  const Bytes data = picture(8, 8, 3, 24);
  Bytes out(8 * 8 * 3);
  const clipn_image good{data.data(), 8, 8, 3, 24};
  const auto status = [&](const std::function<void(clipn_image&)>& spoil, uint32_t side, uint8_t* to) {
    clipn_image image = good;
    spoil(image);
    try {
      resize_crop(image, side, to);
      return CLIPN_OK;
    } catch (const Error& error) {
      return error.status();
    }
  };
  EXPECT_EQ(status([](clipn_image&) {}, 8, out.data()), CLIPN_OK);
  EXPECT_EQ(status([](clipn_image&) {}, 0, out.data()), CLIPN_INVALID_ARG);
  EXPECT_EQ(status([](clipn_image&) {}, 8, nullptr), CLIPN_INVALID_ARG);
  EXPECT_EQ(status([](clipn_image& image) { image.data = nullptr; }, 8, out.data()), CLIPN_INVALID_ARG);
  EXPECT_EQ(status([](clipn_image& image) { image.width = 0; }, 8, out.data()), CLIPN_INVALID_ARG);
  EXPECT_EQ(status([](clipn_image& image) { image.height = 0; }, 8, out.data()), CLIPN_INVALID_ARG);
  EXPECT_EQ(status([](clipn_image& image) { image.channels = 2; }, 8, out.data()), CLIPN_INVALID_ARG);
  EXPECT_EQ(status([](clipn_image& image) { image.stride = 23; }, 8, out.data()), CLIPN_INVALID_ARG);
}

}  // namespace
}  // namespace clipn
