#include "cuda/resize_jobs.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace clipn {
namespace {

constexpr int64_t aligned(int64_t bytes) { return (bytes + 15) / 16 * 16; }

int64_t bytes_of(const std::vector<int32_t>& numbers) { return static_cast<int64_t>(numbers.size()) * 4; }

int64_t axis_bytes(const Axis& axis) {
  return aligned(bytes_of(axis.first)) + aligned(bytes_of(axis.taps)) + aligned(bytes_of(axis.weights));
}

int64_t bytes_of(const clipn_image& image, const ResizePlan& plan) {
  return aligned(int64_t{plan.x.length()} * plan.y.length() * image.channels);
}

int64_t first_pass_pixels(const ResizePlan& plan, uint32_t side) {
  return int64_t{side} * (plan.vertical_first ? plan.x.length() : plan.y.length());
}

// Appends at *end, which it moves on.
int64_t put(const void* from, int64_t bytes, uint8_t* to, int64_t* end) {
  const int64_t at = *end;
  std::memcpy(to + at, from, static_cast<size_t>(bytes));
  *end = aligned(at + bytes);
  return at;
}

clipn_cuda_axis put_axis(const Axis& axis, uint8_t* to, int64_t* end) {
  clipn_cuda_axis out = {};
  out.first = put(axis.first.data(), bytes_of(axis.first), to, end);
  out.taps = put(axis.taps.data(), bytes_of(axis.taps), to, end);
  out.weights = put(axis.weights.data(), bytes_of(axis.weights), to, end);
  out.capacity = axis.capacity;
  return out;
}

}  // namespace

void ResizeJobs::add(const clipn_image& image) {
  check_image(image, side_);
  const std::pair size(image.width, image.height);
  auto found = plans_.find(size);
  if (found == plans_.end()) found = plans_.emplace(size, plan_resize(image.width, image.height, side_)).first;
  const ResizePlan& plan = found->second;
  images_.emplace_back(image, &plan);
  window_bytes_ += bytes_of(image, plan);
  const int64_t pixels = first_pass_pixels(plan, side_);
  between_bytes_ += aligned(pixels * 3);
  most_ = std::max(most_, pixels);
}

int64_t ResizeJobs::packed_bytes() const {
  int64_t bytes = aligned(count() * static_cast<int64_t>(sizeof(clipn_cuda_resize_job))) + window_bytes_;
  std::set<const ResizePlan*> seen;
  for (const auto& [image, plan] : images_) {
    if (seen.insert(plan).second) bytes += axis_bytes(plan->x) + axis_bytes(plan->y);
  }
  return bytes;
}

void ResizeJobs::write(uint8_t* to) const {
  std::vector<clipn_cuda_resize_job> jobs;
  std::map<const ResizePlan*, std::pair<clipn_cuda_axis, clipn_cuda_axis>> axes;
  int64_t end = aligned(count() * static_cast<int64_t>(sizeof(clipn_cuda_resize_job))), between = 0;
  for (const auto& [image, plan] : images_) {
    auto known = axes.find(plan);
    if (known == axes.end()) {
      const clipn_cuda_axis x = put_axis(plan->x, to, &end), y = put_axis(plan->y, to, &end);
      known = axes.emplace(plan, std::pair(x, y)).first;
    }
    clipn_cuda_resize_job job = {};
    job.x = known->second.first;
    job.y = known->second.second;
    job.width = plan->x.length();
    job.height = plan->y.length();
    job.channels = static_cast<int32_t>(image.channels);
    job.vertical_first = plan->vertical_first ? 1 : 0;
    job.window = end;
    const size_t row_bytes = size_t{image.channels} * job.width;
    const uint8_t* row = image.data + image.stride * plan->y.begin + size_t{image.channels} * plan->x.begin;
    for (int32_t i = 0; i < job.height; ++i, row += image.stride) std::memcpy(to + end + row_bytes * i, row, row_bytes);
    end += bytes_of(image, *plan);
    job.between = between;
    between += aligned(first_pass_pixels(*plan, side_) * 3);
    jobs.push_back(job);
  }
  std::memcpy(to, jobs.data(), jobs.size() * sizeof(clipn_cuda_resize_job));
}

}  // namespace clipn
