#include "image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "cpu/dispatch.h"
#include "error.h"

namespace clipn {
namespace {

constexpr uint32_t kMaxSide = 8192;
constexpr uint32_t kMaxLength = 1u << 24;  // Pillow keeps the box in floats, exact up to here

// One axis of the resized image, restricted to the crop window.
struct Axis {
  std::vector<int32_t> first, taps, weights;
  int32_t capacity = 0;
  int32_t begin = 0, end = 0;  // inputs that the window needs

  cpu::ResizeAxis view() const {
    return {first.data(), taps.data(), weights.data(), capacity, static_cast<int32_t>(first.size())};
  }
};

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

void check(const clipn_image& image, uint32_t side, const uint8_t* out) {
  const auto fail = [](const std::string& text) { throw Error(CLIPN_INVALID_ARG, text); };
  if (image.data == nullptr || out == nullptr) fail("image: data and out must not be NULL");
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

void copy_pixels(const uint8_t* from, uint32_t channels, uint32_t count, uint8_t* to) {
  if (channels == 3) {
    std::memcpy(to, from, size_t{count} * 3);
    return;
  }
  for (uint32_t i = 0; i < count; ++i, from += channels, to += 3) {
    to[0] = from[0];
    to[1] = channels == 1 ? from[0] : from[1];
    to[2] = channels == 1 ? from[0] : from[2];
  }
}

// The window's columns of `height` rows that start at input x.begin; out rows have 1 (grey) or 3 bytes a pixel.
void filter_horizontal(const cpu::Kernels& kernels, const uint8_t* rows, size_t stride, uint32_t channels,
                       const Axis& x, int32_t height, uint8_t* out, size_t out_stride) {
  const int32_t width = x.end - x.begin;
  std::vector<uint8_t> strip(size_t{channels} * width * cpu::kStripRows);
  std::vector<uint8_t> columns(out_stride * cpu::kStripRows), unused(out_stride);
  for (int32_t row = 0; row < height; row += cpu::kStripRows) {
    const uint8_t* from[cpu::kStripRows];
    uint8_t* to[cpu::kStripRows];
    for (int32_t r = 0; r < cpu::kStripRows; ++r) {
      from[r] = rows + stride * std::min(row + r, height - 1);
      to[r] = row + r < height ? out + out_stride * (row + r) : unused.data();
    }
    kernels.resize_horizontal(from, width, static_cast<int32_t>(channels), x.view(), strip.data(), columns.data(), to);
  }
}

// The window's rows of `row_bytes` bytes; `rows` starts at input y.begin.
void filter_vertical(const cpu::Kernels& kernels, const uint8_t* rows, size_t stride, const Axis& y, size_t row_bytes,
                     uint8_t* out) {
  for (size_t i = 0; i < y.first.size(); ++i) {
    kernels.resize_vertical(rows + stride * y.first[i], static_cast<int64_t>(stride), &y.weights[i * y.capacity],
                            y.taps[i], static_cast<int32_t>(row_bytes), out + row_bytes * i);
  }
}

}  // namespace

void resize_crop(const cpu::Kernels& kernels, const clipn_image& image, uint32_t side, uint8_t* out) {
  check(image, side, out);
  const uint64_t shorter = std::min(image.width, image.height);
  const int64_t new_width = static_cast<int64_t>(side * uint64_t{image.width} / shorter);
  const int64_t new_height = static_cast<int64_t>(side * uint64_t{image.height} / shorter);
  const int64_t left = crop_offset(new_width, side), top = crop_offset(new_height, side);

  // A shorter side of `side` leaves both axes as they are, any other changes both: there is no one-pass case.
  if (shorter == side) {
    for (uint32_t row = 0; row < side; ++row) {
      const uint8_t* from = image.data + (top + row) * image.stride + left * image.channels;
      copy_pixels(from, image.channels, side, out + size_t{row} * side * 3);
    }
    return;
  }

  const Axis x = make_axis(image.width, new_width, left, static_cast<int32_t>(side));
  const Axis y = make_axis(image.height, new_height, top, static_cast<int32_t>(side));
  const uint8_t* window = image.data + image.stride * y.begin + size_t{image.channels} * x.begin;
  const int32_t width = x.end - x.begin, height = y.end - y.begin;
  const size_t row_bytes = size_t{side} * (image.channels == 1 ? 1 : 3);
  std::vector<uint8_t> grey(image.channels == 1 ? row_bytes * side : 0);
  uint8_t* filtered = image.channels == 1 ? grey.data() : out;

  // Pillow filters a shrinking image vertically first when it is more than 100 times as high as wide, else horizontally
  // first; the rounding to bytes in between makes the order visible.
  if (image.height > uint64_t{image.width} * 100 && new_height < image.height) {
    const size_t between_bytes = size_t{image.channels} * width;
    std::vector<uint8_t> between(between_bytes * side);
    filter_vertical(kernels, window, image.stride, y, between_bytes, between.data());
    filter_horizontal(kernels, between.data(), between_bytes, image.channels, x, static_cast<int32_t>(side), filtered,
                      row_bytes);
  } else {
    std::vector<uint8_t> between(row_bytes * height);
    filter_horizontal(kernels, window, image.stride, image.channels, x, height, between.data(), row_bytes);
    filter_vertical(kernels, between.data(), row_bytes, y, row_bytes, filtered);
  }
  if (image.channels == 1) copy_pixels(grey.data(), 1, side * side, out);
}

void resize_crop(const clipn_image& image, uint32_t side, uint8_t* out) {
  resize_crop(cpu::kernels(), image, side, out);
}

}  // namespace clipn
