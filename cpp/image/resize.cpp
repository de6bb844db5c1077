#include "image/resize.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "cpu/dispatch.h"
#include "error.h"
#include "image/resize_plan.h"

namespace clipn {
namespace {

cpu::ResizeAxis view(const Axis& axis) {
  return {axis.first.data(), axis.taps.data(), axis.weights.data(), axis.capacity,
          static_cast<int32_t>(axis.first.size())};
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
  const int32_t width = x.length();
  std::vector<uint8_t> strip(size_t{channels} * width * cpu::kStripRows);
  std::vector<uint8_t> columns(out_stride * cpu::kStripRows), unused(out_stride);
  for (int32_t row = 0; row < height; row += cpu::kStripRows) {
    const uint8_t* from[cpu::kStripRows];
    uint8_t* to[cpu::kStripRows];
    for (int32_t r = 0; r < cpu::kStripRows; ++r) {
      from[r] = rows + stride * std::min(row + r, height - 1);
      to[r] = row + r < height ? out + out_stride * (row + r) : unused.data();
    }
    kernels.resize_horizontal(from, width, static_cast<int32_t>(channels), view(x), strip.data(), columns.data(), to);
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
  if (out == nullptr) throw Error(CLIPN_INVALID_ARG, "image: out must not be NULL");
  check_image(image, side);
  const ResizePlan plan = plan_resize(image.width, image.height, side);
  const Axis &x = plan.x, &y = plan.y;
  const uint8_t* window = image.data + image.stride * y.begin + size_t{image.channels} * x.begin;
  if (plan.copies) {
    for (uint32_t row = 0; row < side; ++row) {
      copy_pixels(window + row * image.stride, image.channels, side, out + size_t{row} * side * 3);
    }
    return;
  }

  const size_t row_bytes = size_t{side} * (image.channels == 1 ? 1 : 3);
  std::vector<uint8_t> grey(image.channels == 1 ? row_bytes * side : 0);
  uint8_t* filtered = image.channels == 1 ? grey.data() : out;
  if (plan.vertical_first) {
    const size_t between_bytes = size_t{image.channels} * x.length();
    std::vector<uint8_t> between(between_bytes * side);
    filter_vertical(kernels, window, image.stride, y, between_bytes, between.data());
    filter_horizontal(kernels, between.data(), between_bytes, image.channels, x, static_cast<int32_t>(side), filtered,
                      row_bytes);
  } else {
    std::vector<uint8_t> between(row_bytes * y.length());
    filter_horizontal(kernels, window, image.stride, image.channels, x, y.length(), between.data(), row_bytes);
    filter_vertical(kernels, between.data(), row_bytes, y, row_bytes, filtered);
  }
  if (image.channels == 1) copy_pixels(grey.data(), 1, side * side, out);
}

void resize_crop(const clipn_image& image, uint32_t side, uint8_t* out) {
  resize_crop(cpu::kernels(), image, side, out);
}

}  // namespace clipn
