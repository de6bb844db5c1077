// Pixels for the towers, brought to device 0.
#ifndef CLIPN_CUDA_PIXEL_FEED_H_
#define CLIPN_CUDA_PIXEL_FEED_H_

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAStream.h>

#include "clipn/core.h"
#include "cuda/checked.h"
#include "cuda/resize_jobs.h"

namespace clipn {

class CudaEvent {
 public:
  CudaEvent() { check_cuda("an event", cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~CudaEvent() { cudaEventDestroy(event_); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  void record(const c10::cuda::CUDAStream& stream) { check_cuda("an event", cudaEventRecord(event_, stream)); }
  void hold(const c10::cuda::CUDAStream& stream) { check_cuda("an event", cudaStreamWaitEvent(stream, event_, 0)); }
  void wait() { check_cuda("an event", cudaEventSynchronize(event_)); }

 private:
  cudaEvent_t event_ = nullptr;
};

// Bytes go through pinned memory on a stream of their own, in two sets of buffers by turns, so that copying overlaps
// computing. Images are resized on the device. Buffers only grow: in the steady state nothing is allocated.
class PixelFeed {
 public:
  // `compute` is the stream that uses the pixels, and must be the current one in fill().
  explicit PixelFeed(c10::cuda::CUDAStream compute);

  // Queues that `pixels`, uint8 [at least count, S, S, 3] on the device, get images [first, first + count) of the
  // batch. The batch's memory has been read when this returns. `plans` belongs to the batch. Throws Error and
  // c10::Error.
  void fill(const clipn_image_batch& batch, int64_t first, int64_t count, ResizePlans& plans, const at::Tensor& pixels);

  // Gives all memory back.
  void release();

 private:
  struct Buffers {
    at::Tensor host, device;  // bytes: pinned, and on the GPU
    CudaEvent arrived;        // the copy has left `host` and reached `device`
    CudaEvent emptied;        // `device` has been read
  };

  // The next buffers, free to be written, with room for `bytes`.
  Buffers& next(int64_t bytes);
  // Host to device; `compute` waits for it.
  void send(Buffers& buffers, int64_t bytes);
  void resize(const ResizeJobs& jobs, int64_t side, uint8_t* pixels);

  c10::cuda::CUDAStream compute_, copy_;
  Buffers buffers_[2];
  int turn_ = 0;
  at::Tensor between_;
};

}  // namespace clipn

#endif  // CLIPN_CUDA_PIXEL_FEED_H_
