// How an image batch runs: images go as bytes to the device (pixel_feed.h) and are resized there, while the stream
// before it normalises and runs the model's own encode_image, captured once per batch size as a CUDA graph. Batch sizes
// are powers of two up to 256; what is missing is padded. After the first batch of a size nothing is allocated on the
// device.
#include "cuda/towers.h"

#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "cuda/checked.h"
#include "cuda/launch.h"
#include "cuda/pixel_feed.h"

namespace clipn {
namespace {

constexpr int64_t kLargestPart = 256;
constexpr int kWarmUps = 3;  // cuBLAS and the allocator settle on the stream before it is captured

at::ScalarType type_of(clipn_precision precision) {
  return precision == CLIPN_FP32 ? at::kFloat : precision == CLIPN_BF16 ? at::kBFloat16 : at::kHalf;
}

int32_t kernel_type(at::ScalarType type) {
  return type == at::kFloat ? CLIPN_CUDA_FP32 : type == at::kBFloat16 ? CLIPN_CUDA_BF16 : CLIPN_CUDA_FP16;
}

// encode_image for one batch size. `pixels` and `features` stay where they are, for the graph knows their addresses.
struct Part {
  at::Tensor pixels, features;
  at::cuda::CUDAGraph graph;
  bool captured = false;
};

class CudaTowers : public PackedTowers {
 public:
  // `text` becomes fp32, unless it is another handle to the module.
  CudaTowers(torch::jit::Module module, torch::jit::Module text, clipn_precision precision)
      : module_(std::move(module)),
        text_(std::move(text)),
        type_(type_of(precision)),
        compute_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, 0)),
        feed_(compute_) {
    module_.to(at::Device(at::kCUDA, 0), type_);
    if (text_._ivalue() != module_._ivalue()) text_.to(at::Device(at::kCUDA, 0), at::kFloat);
  }

  at::Tensor encode_images(const clipn_image_batch& batch) override {
    return translated("encode_image", [&] {
      try {
        return encode(batch);
      } catch (const c10::OutOfMemoryError&) {
        // Once more with parts of half the size and all of our memory given back.
        check_cuda("giving memory back", cudaDeviceSynchronize());
        parts_.clear();
        pool_ = at::cuda::graph_pool_handle();
        feed_.release();
        c10::cuda::CUDACachingAllocator::emptyCache();
        largest_part_ = std::max<int64_t>(1, std::min(largest_part_, ladder(batch.n)) / 2);
        return encode(batch);
      }
    });
  }

  std::pair<at::Tensor, at::Tensor> encode_image_patches(const clipn_image_batch& batch) override {
    return translated("encode_image_patches", [&] {
      const c10::cuda::CUDAStreamGuard on(compute_);
      const at::Tensor bytes = pixel_bytes(batch.n, batch);
      ResizePlans plans;
      feed_.fill(batch, 0, batch.n, plans, bytes);
      const auto result = module_.get_method("encode_image_patches")({normalised(bytes, batch)}).toTuple();
      return std::pair(result->elements().at(0).toTensor().to(at::kCPU, at::kFloat),
                       result->elements().at(1).toTensor().to(at::kCPU, at::kFloat));
    });
  }

  at::Tensor encode_text(clipn_tower tower, const int64_t* ids, int64_t n, int64_t l) override {
    const char* method = tower == CLIPN_TEXT_YES ? "encode_text_yes" : "encode_text_no";
    return translated(method, [&] {
      const c10::cuda::CUDAStreamGuard on(compute_);
      const auto input = at::from_blob(const_cast<int64_t*>(ids), {n, l}, at::kLong).to(at::kCUDA);
      return text_.get_method(method)({input}).toTensor().to(at::kCPU, at::kFloat);
    });
  }

  void run_image_linears(int64_t) override {
    throw Error(CLIPN_MODEL_CONTRACT, "on CUDA the model runs as it is: its linears cannot be run alone");
  }

 private:
  static int64_t ladder(int64_t n) {
    int64_t size = 1;
    while (size < n && size < kLargestPart) size *= 2;
    return size;
  }

  static at::Tensor pixel_bytes(int64_t n, const clipn_image_batch& batch) {
    return at::zeros({n, batch.side, batch.side, 3}, at::TensorOptions(at::kCUDA).dtype(at::kByte));
  }

  // Bytes [n, S, S, 3] on the device to what the tower reads, on the current stream.
  at::Tensor normalised(const at::Tensor& bytes, const clipn_image_batch& batch) const {
    const int64_t n = bytes.size(0), side = bytes.size(1);
    auto pixels = at::empty({n, 3, side, side}, at::TensorOptions(at::kCUDA).dtype(type_));
    check_cuda("normalise", clipn_cuda_normalise(bytes.const_data_ptr<uint8_t>(), n, side, batch.mean, batch.std,
                                                 kernel_type(type_), pixels.mutable_data_ptr(), compute_.stream()));
    return pixels;
  }

  at::Tensor run_method(const at::Tensor& bytes, const clipn_image_batch& batch) {
    const auto rows = module_.get_method("encode_image")({normalised(bytes, batch)}).toTensor();
    if (rows.dim() != 2 || rows.size(0) != bytes.size(0)) {
      throw Error(CLIPN_MODEL_CONTRACT, "encode_image returned shape " + c10::str(rows.sizes()));
    }
    return rows.to(at::kFloat);
  }

  // Ending a capture that went wrong may throw, too; what matters is that stream and allocator leave it. libtorch 2.11
  // leaves its allocator in it when the stream's end fails, 2.14 does not.
  void end_broken_capture(at::cuda::CUDAGraph& graph) const {
    try {
      graph.capture_end();
    } catch (const std::exception&) {
      cudaGetLastError();
      try {
        c10::cuda::CUDACachingAllocator::endAllocateToPool(0, pool_);
      } catch (const std::exception&) {  // it has left it
      }
    }
    graph.reset();
  }

  // The part for batches of `size`, made and captured at its first use.
  Part& part(int64_t size, const clipn_image_batch& batch) {
    std::unique_ptr<Part>& slot = parts_[size];
    if (slot) return *slot;
    auto made = std::make_unique<Part>();
    made->pixels = pixel_bytes(size, batch);
    for (int i = 0; i < kWarmUps; ++i) made->features = run_method(made->pixels, batch);
    check_cuda("the first run", cudaStreamSynchronize(compute_.stream()));
    made->features = at::empty_like(made->features);
    if (!uncapturable_) {
      try {
        // Thread-local: other lanes may allocate meanwhile.
        made->graph.capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
        made->features.copy_(run_method(made->pixels, batch));
        made->graph.capture_end();
        made->captured = true;
      } catch (const c10::OutOfMemoryError&) {
        end_broken_capture(made->graph);  // the next try, with less, needs the stream
        throw;
      } catch (const std::exception&) {
        // A foreign model may wait for the device in its method, which no graph can hold. It runs without, then.
        end_broken_capture(made->graph);
        uncapturable_ = true;
      }
    }
    slot = std::move(made);
    return *slot;
  }

  at::Tensor encode(const clipn_image_batch& batch) {
    const c10::cuda::CUDAStreamGuard on(compute_);
    if (!same_pixels(batch)) parts_.clear();  // graphs hold the side, mean and deviation they were captured with
    const int64_t step = std::min(largest_part_, ladder(batch.n));
    at::Tensor features;  // [n, D], pinned
    ResizePlans plans;
    for (int64_t first = 0; first < batch.n; first += step) {
      const int64_t count = std::min(step, batch.n - first);
      Part& work = part(std::min(step, ladder(count)), batch);
      feed_.fill(batch, first, count, plans, work.pixels);
      if (work.captured) {
        work.graph.replay();
      } else {
        work.features.copy_(run_method(work.pixels, batch));
      }
      if (!features.defined()) {
        features = at::empty({batch.n, work.features.size(1)}, at::TensorOptions(at::kFloat).pinned_memory(true));
      }
      features.narrow(0, first, count).copy_(work.features.narrow(0, 0, count), /*non_blocking=*/true);
    }
    check_cuda("encode_image", cudaStreamSynchronize(compute_.stream()));
    return features;
  }

  bool same_pixels(const clipn_image_batch& batch) {
    const std::vector<float> now = {static_cast<float>(batch.side),
                                    batch.mean[0],
                                    batch.mean[1],
                                    batch.mean[2],
                                    batch.std[0],
                                    batch.std[1],
                                    batch.std[2]};
    const bool same = now == pixels_of_parts_;
    pixels_of_parts_ = now;
    return same;
  }

  torch::jit::Module module_, text_;
  at::ScalarType type_;
  c10::cuda::CUDAStream compute_;
  PixelFeed feed_;
  std::map<int64_t, std::unique_ptr<Part>> parts_;
  // Graphs share their memory: they run one after the other, and each copies its result out of it.
  at::cuda::MempoolId_t pool_ = at::cuda::graph_pool_handle();
  std::vector<float> pixels_of_parts_;
  int64_t largest_part_ = kLargestPart;
  bool uncapturable_ = false;
};

}  // namespace

std::unique_ptr<PackedTowers> open_cuda_towers(torch::jit::Module module, clipn_precision precision, bool text) {
  return translated("moving the model to the GPU", [&]() -> std::unique_ptr<PackedTowers> {
    torch::jit::Module with_text = text && precision != CLIPN_FP32 ? module.deepcopy() : module;
    const c10::InferenceMode no_grad;
    return std::make_unique<CudaTowers>(std::move(module), std::move(with_text), precision);
  });
}

}  // namespace clipn
