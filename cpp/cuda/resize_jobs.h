// What clipn_cuda_resize reads, packed on the host into one block: jobs, weights, and the bytes of the images' windows.
#ifndef CLIPN_CUDA_RESIZE_JOBS_H_
#define CLIPN_CUDA_RESIZE_JOBS_H_

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "clipn/core.h"
#include "cuda/launch.h"
#include "image/resize_plan.h"

namespace clipn {

// Plans by width and height: images of a batch often have the same.
using ResizePlans = std::map<std::pair<uint32_t, uint32_t>, ResizePlan>;

class ResizeJobs {
 public:
  // `plans` outlives this.
  ResizeJobs(uint32_t side, ResizePlans& plans) : side_(side), plans_(plans) {}

  // Throws Error(CLIPN_INVALID_ARG).
  void add(const clipn_image& image);

  int64_t count() const { return static_cast<int64_t>(images_.size()); }
  // Bytes that write() fills, without those of the weights.
  int64_t window_bytes() const { return window_bytes_; }
  int64_t packed_bytes() const;
  int64_t between_bytes() const { return between_bytes_; }
  // The most pixels that the first pass of any image makes.
  int64_t most() const { return most_; }

  // Fills packed_bytes() bytes at `to`, 16-byte aligned.
  void write(uint8_t* to) const;

 private:
  uint32_t side_;
  ResizePlans& plans_;
  std::vector<std::pair<clipn_image, const ResizePlan*>> images_;
  int64_t window_bytes_ = 0, between_bytes_ = 0, most_ = 0;
};

}  // namespace clipn

#endif  // CLIPN_CUDA_RESIZE_JOBS_H_
