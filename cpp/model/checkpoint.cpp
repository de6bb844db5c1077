#include "model/checkpoint.h"

#include <ATen/ops/empty.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

CheckpointFile::CheckpointFile(const char* path, const clipn_tensor* tensors, size_t count) : path_(path) {
  table_.reserve(count);
  for (size_t i = 0; i < count; ++i) table_.emplace(tensors[i].name, &tensors[i]);
  file_ = open(path, O_RDONLY | O_CLOEXEC);
  if (file_ < 0) throw Error(CLIPN_IO, "cannot open " + path_ + ": " + std::strerror(errno));
  struct stat status = {};
  if (fstat(file_, &status) != 0) {
    const int code = errno;
    close(file_);
    throw Error(CLIPN_IO, "cannot stat " + path_ + ": " + std::strerror(code));
  }
  bytes_ = static_cast<size_t>(status.st_size);
}

CheckpointFile::~CheckpointFile() { close(file_); }

const clipn_tensor& CheckpointFile::find(const std::string& name) const {
  const auto found = table_.find(name);
  if (found == table_.end()) throw Error(CLIPN_CHECKPOINT, "the checkpoint has no tensor " + name);
  return *found->second;
}

std::vector<int64_t> CheckpointFile::shape(const std::string& name) const {
  const clipn_tensor& tensor = find(name);
  return {tensor.shape, tensor.shape + tensor.rank};
}

const clipn_tensor& CheckpointFile::checked(const std::string& name, const std::vector<int64_t>& shape) const {
  const clipn_tensor& tensor = find(name);
  const at::IntArrayRef stored(tensor.shape, tensor.rank);
  if (stored != at::IntArrayRef(shape)) {
    throw Error(CLIPN_CHECKPOINT, "tensor " + name + " has shape " + show(stored) + ", expected " + show(shape));
  }
  const uint64_t item = c10::elementSize(scalar_type(tensor));
  const int64_t elements = span(tensor);
  if (elements < 0 || tensor.offset > bytes_ || static_cast<uint64_t>(elements) > (bytes_ - tensor.offset) / item) {
    throw Error(CLIPN_CHECKPOINT, "tensor " + name + " reaches outside the checkpoint file");
  }
  return tensor;
}

at::Tensor CheckpointFile::get(const std::string& name, const std::vector<int64_t>& shape) const {
  const clipn_tensor& tensor = checked(name, shape);
  const at::Tensor whole = at::empty({span(tensor)}, scalar_type(tensor));
  read(tensor, 0, whole.data_ptr(), whole.nbytes());
  return whole.as_strided(shape, at::IntArrayRef(tensor.stride, tensor.rank)).contiguous();
}

bool CheckpointFile::is_stored_as(const std::string& name, const std::vector<int64_t>& shape,
                                  at::ScalarType type) const {
  const clipn_tensor& tensor = checked(name, shape);
  int64_t dense = 1;
  for (size_t i = tensor.rank; i-- > 0; dense *= shape[i]) {
    if (tensor.stride[i] != dense) return false;
  }
  return scalar_type(tensor) == type;
}

void CheckpointFile::read(const std::string& name, size_t offset, void* out, size_t count) const {
  read(find(name), offset, out, count);
}

void CheckpointFile::read(const clipn_tensor& tensor, size_t offset, void* out, size_t count) const {
  for (size_t done = 0; done < count;) {
    const auto from = static_cast<off_t>(tensor.offset + offset + done);
    const ssize_t bytes = pread(file_, static_cast<std::byte*>(out) + done, count - done, from);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) throw Error(CLIPN_IO, "cannot read " + path_ + ": " + std::strerror(errno));
    if (bytes == 0) throw Error(CLIPN_IO, path_ + " became shorter while tensor " + tensor.name + " was read");
    done += static_cast<size_t>(bytes);
  }
}

}  // namespace clipn
