#include "cuda/pixel_feed.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cuda/launch.h"

namespace clipn {
namespace {

constexpr int64_t kMostBytes = int64_t{64} << 20;  // of windows in a set of buffers, unless one image alone has more

at::Tensor device_bytes(int64_t count) { return at::empty({count}, at::TensorOptions(at::kCUDA).dtype(at::kByte)); }

}  // namespace

PixelFeed::PixelFeed(c10::cuda::CUDAStream compute)
    : compute_(compute), copy_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, 0)) {}

void PixelFeed::release() {
  for (Buffers& buffers : buffers_) buffers.host = buffers.device = at::Tensor();
  between_ = at::Tensor();
}

PixelFeed::Buffers& PixelFeed::next(int64_t bytes) {
  Buffers& buffers = buffers_[turn_ ^= 1];
  const int64_t room = buffers.host.defined() ? buffers.host.numel() : 0;
  if (room < bytes) {
    // Freed memory may be handed on at once: nothing may be on its way through it, on either stream.
    check_cuda("waiting for pixels", cudaStreamSynchronize(copy_.stream()));
    check_cuda("waiting for pixels", cudaStreamSynchronize(compute_.stream()));
    const int64_t wanted = std::max(bytes, 2 * room);
    // Both or neither: what is copied is measured by one of them.
    at::Tensor host = at::empty({wanted}, at::TensorOptions(at::kByte).pinned_memory(true));
    buffers.device = device_bytes(wanted);
    buffers.host = std::move(host);
  }
  buffers.arrived.wait();  // of two turns ago
  return buffers;
}

void PixelFeed::send(Buffers& buffers, int64_t bytes) {
  buffers.emptied.hold(copy_);
  check_cuda("copying pixels", cudaMemcpyAsync(buffers.device.mutable_data_ptr(), buffers.host.const_data_ptr(),
                                               static_cast<size_t>(bytes), cudaMemcpyHostToDevice, copy_.stream()));
  buffers.arrived.record(copy_);
  buffers.arrived.hold(compute_);
}

void PixelFeed::resize(const ResizeJobs& jobs, int64_t side, uint8_t* pixels) {
  const int64_t bytes = jobs.packed_bytes();
  Buffers& buffers = next(bytes);
  jobs.write(buffers.host.mutable_data_ptr<uint8_t>());
  send(buffers, bytes);
  // Used on `compute` alone: the allocator may hand the old one on in that stream's order.
  if (!between_.defined() || between_.numel() < jobs.between_bytes()) between_ = device_bytes(jobs.between_bytes());
  check_cuda("resizing", clipn_cuda_resize(buffers.device.const_data_ptr(), jobs.count(), jobs.most(),
                                           between_.mutable_data_ptr(), side, pixels, compute_.stream()));
  buffers.emptied.record(compute_);
}

void PixelFeed::fill(const clipn_image_batch& batch, int64_t first, int64_t count, ResizePlans& plans,
                     const at::Tensor& pixels) {
  const int64_t each = static_cast<int64_t>(batch.side) * batch.side * 3;
  auto* to = pixels.mutable_data_ptr<uint8_t>();
  if (batch.pixels != nullptr) {
    const auto bytes = static_cast<size_t>(count * each);
    Buffers& buffers = next(count * each);
    std::memcpy(buffers.host.mutable_data_ptr<uint8_t>(), batch.pixels + first * each, bytes);
    send(buffers, count * each);
    check_cuda("copying pixels", cudaMemcpyAsync(to, buffers.device.const_data_ptr(), bytes, cudaMemcpyDeviceToDevice,
                                                 compute_.stream()));
    buffers.emptied.record(compute_);
    return;
  }
  for (int64_t done = 0; done < count;) {
    ResizeJobs jobs(batch.side, plans);
    do {
      jobs.add(batch.images[first + done + jobs.count()]);
    } while (done + jobs.count() < count && jobs.window_bytes() < kMostBytes);
    resize(jobs, batch.side, to + done * each);
    done += jobs.count();
  }
}

}  // namespace clipn
