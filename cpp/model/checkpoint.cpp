#include "model/checkpoint.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <sstream>

#include "error.h"

namespace clipn {
namespace {

at::ScalarType scalar_type(const clipn_tensor& tensor) {
  const std::string dtype = tensor.dtype;
  if (dtype == "float32") return at::kFloat;
  if (dtype == "float16") return at::kHalf;
  if (dtype == "bfloat16") return at::kBFloat16;
  throw Error(CLIPN_CHECKPOINT, std::string("tensor ") + tensor.name + " has dtype " + dtype +
                                    "; float32, float16 and bfloat16 are supported");
}

std::string show(at::IntArrayRef shape) {
  std::ostringstream text;
  text << shape;
  return text.str();
}

/// Elements from the first to the last that the strides reach, 0 when a dimension is empty; -1 on overflow or a
/// negative size or stride.
int64_t span(const clipn_tensor& tensor) {
  int64_t last = 0;
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    if (tensor.shape[i] < 0 || tensor.stride[i] < 0) return -1;
  }
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    if (tensor.shape[i] == 0) return 0;
    int64_t reach = 0;
    if (__builtin_mul_overflow(tensor.shape[i] - 1, tensor.stride[i], &reach)) return -1;
    if (__builtin_add_overflow(last, reach, &last)) return -1;
  }
  return last == std::numeric_limits<int64_t>::max() ? -1 : last + 1;
}

}  // namespace

MappedCheckpoint::MappedCheckpoint(const char* path, const clipn_tensor* tensors, size_t count) {
  table_.reserve(count);
  for (size_t i = 0; i < count; ++i) table_.emplace(tensors[i].name, &tensors[i]);
  const auto fail = [&](const char* verb) {
    return Error(CLIPN_IO, std::string("cannot ") + verb + " " + path + ": " + std::strerror(errno));
  };
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) throw fail("open");
  struct stat status = {};
  if (fstat(file, &status) != 0) {
    const Error error = fail("stat");
    close(file);
    throw error;
  }
  bytes_ = static_cast<size_t>(status.st_size);
  void* mapped = bytes_ == 0 ? nullptr : mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0);
  if (mapped == MAP_FAILED) {
    const Error error = fail("map");
    close(file);
    throw error;
  }
  close(file);
  data_ = static_cast<std::byte*>(mapped);
}

MappedCheckpoint::~MappedCheckpoint() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

const clipn_tensor& MappedCheckpoint::find(const std::string& name) const {
  const auto found = table_.find(name);
  if (found == table_.end()) throw Error(CLIPN_CHECKPOINT, "the checkpoint has no tensor " + name);
  return *found->second;
}

std::vector<int64_t> MappedCheckpoint::shape(const std::string& name) const {
  const clipn_tensor& tensor = find(name);
  return {tensor.shape, tensor.shape + tensor.rank};
}

at::Tensor MappedCheckpoint::get(const std::string& name, const std::vector<int64_t>& shape) const {
  const clipn_tensor& tensor = find(name);
  const at::IntArrayRef stored(tensor.shape, tensor.rank);
  if (stored != at::IntArrayRef(shape)) {
    throw Error(CLIPN_CHECKPOINT, "tensor " + name + " has shape " + show(stored) + ", expected " + show(shape));
  }
  const at::ScalarType type = scalar_type(tensor);
  const uint64_t item = c10::elementSize(type);
  const int64_t elements = span(tensor);
  if (elements < 0 || tensor.offset > bytes_ || static_cast<uint64_t>(elements) > (bytes_ - tensor.offset) / item) {
    throw Error(CLIPN_CHECKPOINT, "tensor " + name + " reaches outside the checkpoint file");
  }
  std::byte* const first = data_ + tensor.offset;
  if (tensor.offset % item != 0) {  // safetensors does not align: copy the span, then view the copy
    at::Tensor copy = at::empty({elements}, type);
    std::memcpy(copy.data_ptr(), first, static_cast<size_t>(elements) * item);
    return copy.as_strided(stored, at::IntArrayRef(tensor.stride, tensor.rank)).clone(at::MemoryFormat::Contiguous);
  }
  const at::IntArrayRef stride(tensor.stride, tensor.rank);
  return at::from_blob(first, stored, stride, at::TensorOptions(type)).contiguous();
}

void MappedCheckpoint::forget() const noexcept {
  if (data_ != nullptr) madvise(data_, bytes_, MADV_DONTNEED);
}

}  // namespace clipn
