#include "model/scratch.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "error.h"

namespace clipn {
namespace {

constexpr size_t kPart = size_t{1} << 20;  // what is read and written at a time: it stays in a core's cache

Error failure(const std::string& target, int code) {
  return Error(CLIPN_IO, "cannot write " + target + ": " + std::strerror(code));
}

}  // namespace

Scratch::Scratch(const char* target) : target_(target) {
  std::string name = target_ + ".XXXXXX";
  file_ = mkostemp(name.data(), O_CLOEXEC);
  if (file_ < 0) throw failure(target_, errno);
  unlink(name.c_str());
}

Scratch::~Scratch() {
  for (const auto& [data, bytes] : mapped_) munmap(data, bytes);
  close(file_);
}

at::Tensor Scratch::keep(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  const auto* from = static_cast<const std::byte*>(dense.const_data_ptr());
  return keep(dense.scalar_type(), dense.sizes(),
              [from](size_t offset, std::byte* out, size_t count) { std::memcpy(out, from + offset, count); });
}

at::Tensor Scratch::keep(at::ScalarType type, at::IntArrayRef shape, const Source& source) {
  const auto bytes = static_cast<size_t>(c10::multiply_integers(shape)) * c10::elementSize(type);
  if (bytes == 0) return at::empty(shape, type);
  part_.resize(kPart);
  for (size_t done = 0; done < bytes;) {
    const size_t count = std::min(kPart, bytes - done);
    source(done, part_.data(), count);
    write(part_.data(), count, bytes_ + done);
    done += count;
  }
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file_, static_cast<off_t>(bytes_));
  if (data == MAP_FAILED) throw failure(target_, errno);
  mapped_.emplace_back(data, bytes);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  bytes_ += (bytes + page - 1) / page * page;  // where the next mapping may begin
  return at::from_blob(data, shape, at::TensorOptions(type));
}

void Scratch::write(const std::byte* from, size_t bytes, size_t offset) const {
  for (size_t done = 0; done < bytes;) {
    const ssize_t count = pwrite(file_, from + done, bytes - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw failure(target_, errno);
    done += static_cast<size_t>(count);
  }
}

void Scratch::forget() const noexcept {
  for (const auto& [data, bytes] : mapped_) madvise(data, bytes, MADV_DONTNEED);
}

}  // namespace clipn
