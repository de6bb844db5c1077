// Needs -ffp-contract=off: a fused multiply-add would move a weight away from Pillow's.
#include "image/resize_plan.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "error.h"

namespace clipn {
namespace {

constexpr uint32_t kMaxSide = 8192;
constexpr uint32_t kMaxLength = 1u << 24;  // Pillow keeps the box in floats, exact up to here

// Keys' cubic with a = -1/2.
double bicubic(double u) {
  constexpr double a = -0.5;
  u = std::abs(u);
  if (u < 1.0) return ((a + 2.0) * u - (a + 3.0)) * u * u + 1.0;
  if (u < 2.0) return (((u - 5.0) * u + 8.0) * u - 4.0) * a;
  return 0.0;
}

// Weights of outputs [offset, offset + side) when `n_in` samples become `n_out`. The order of the double operations is
// Pillow's: another order moves a 22-bit weight now and then.
Axis make_axis(int64_t n_in, int64_t n_out, int64_t offset, int32_t side) {
  const double scale = static_cast<double>(n_in) / static_cast<double>(n_out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  axis.capacity = static_cast<int32_t>(std::ceil(support)) * 2 + 1;
  axis.first.resize(side);
  axis.taps.resize(side);
  axis.weights.assign(static_cast<size_t>(side) * axis.capacity, 0);
  std::vector<double> w(axis.capacity);
  for (int32_t i = 0; i < side; ++i) {
    const double centre = (static_cast<double>(offset + i) + 0.5) * scale;
    const int32_t first = std::max(0, static_cast<int32_t>(centre - support + 0.5));
    const int32_t last = std::min(static_cast<int32_t>(n_in), static_cast<int32_t>(centre + support + 0.5));
    double sum = 0.0;
    for (int32_t t = 0; t < last - first; ++t) {
      w[t] = bicubic((t + first - centre + 0.5) * inverse);
      sum += w[t];
    }
    for (int32_t t = 0; t < last - first; ++t) {
      const double weight = (sum != 0.0 ? w[t] / sum : w[t]) * (1 << 22);
      axis.weights[static_cast<size_t>(i) * axis.capacity + t] =
          static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    axis.first[i] = first;
    axis.taps[i] = last - first;
  }
  axis.begin = *std::min_element(axis.first.begin(), axis.first.end());
  for (int32_t i = 0; i < side; ++i) axis.end = std::max(axis.end, axis.first[i] + axis.taps[i]);
  for (int32_t& first : axis.first) first -= axis.begin;
  return axis;
}

// round-half-to-even((length - side) / 2)
int64_t crop_offset(int64_t length, int64_t side) {
  const int64_t half = (length - side) / 2;
  return (length - side) % 2 == 1 && half % 2 == 1 ? half + 1 : half;
}

// Outputs that are inputs [offset, offset + side).
Axis copied_axis(int64_t offset, int32_t side) {
  Axis axis;
  axis.capacity = 1;
  axis.first.resize(side);
  for (int32_t i = 0; i < side; ++i) axis.first[i] = i;
  axis.taps.assign(side, 1);
  axis.weights.assign(side, 1 << 22);
  axis.begin = static_cast<int32_t>(offset);
  axis.end = axis.begin + side;
  return axis;
}

}  // namespace

void check_image(const clipn_image& image, uint32_t side) {
  const auto fail = [](const std::string& text) { throw Error(CLIPN_INVALID_ARG, text); };
  if (image.data == nullptr) fail("image: data must not be NULL");
  if (side == 0 || side > kMaxSide) fail("side: " + std::to_string(side) + " is not in 1.." + std::to_string(kMaxSide));
  if (image.width == 0 || image.height == 0 || image.width > kMaxLength || image.height > kMaxLength) {
    fail("image: " + std::to_string(image.width) + " x " + std::to_string(image.height) + " is not in 1.." +
         std::to_string(kMaxLength));
  }
  if (image.channels != 1 && image.channels != 3 && image.channels != 4) {
    fail("image: " + std::to_string(image.channels) + " channels; 1 (grey), 3 (RGB) and 4 (RGBA) are known");
  }
  if (image.stride < uint64_t{image.width} * image.channels) {
    fail("image: a stride of " + std::to_string(image.stride) + " bytes is shorter than a row of " +
         std::to_string(uint64_t{image.width} * image.channels));
  }
}

ResizePlan plan_resize(uint32_t width, uint32_t height, uint32_t side) {
  const uint64_t shorter = std::min(width, height);
  const auto new_width = static_cast<int64_t>(side * uint64_t{width} / shorter);
  const auto new_height = static_cast<int64_t>(side * uint64_t{height} / shorter);
  const int64_t left = crop_offset(new_width, side), top = crop_offset(new_height, side);
  const auto size = static_cast<int32_t>(side);
  ResizePlan plan;
  // A shorter side of `side` leaves both axes as they are, any other changes both: there is no one-pass case.
  plan.copies = shorter == side;
  plan.x = plan.copies ? copied_axis(left, size) : make_axis(width, new_width, left, size);
  plan.y = plan.copies ? copied_axis(top, size) : make_axis(height, new_height, top, size);
  plan.vertical_first = height > uint64_t{width} * 100 && new_height < height;
  return plan;
}

}  // namespace clipn
