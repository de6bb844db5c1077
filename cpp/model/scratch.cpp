#include "model/scratch.h"

#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "error.h"

namespace clipn {
namespace {

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
  const size_t bytes = dense.nbytes();
  if (bytes == 0) return dense;
  const auto* from = static_cast<const std::byte*>(dense.data_ptr());
  for (size_t done = 0; done < bytes;) {
    const ssize_t count = pwrite(file_, from + done, bytes - done, static_cast<off_t>(bytes_ + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw failure(target_, errno);
    done += static_cast<size_t>(count);
  }
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file_, static_cast<off_t>(bytes_));
  if (data == MAP_FAILED) throw failure(target_, errno);
  mapped_.emplace_back(data, bytes);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  bytes_ += (bytes + page - 1) / page * page;  // where the next mapping may begin
  return at::from_blob(data, dense.sizes(), at::TensorOptions(dense.scalar_type()));
}

void Scratch::forget() const noexcept {
  for (const auto& [data, bytes] : mapped_) madvise(data, bytes, MADV_DONTNEED);
}

}  // namespace clipn
