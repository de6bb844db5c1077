#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace clipn {

/// Tensors in a file without a name, so that a model need not fit into memory while libtorch writes it: pages are read
/// when touched and given back by forget(). Nobody else can open the file, and so nobody cuts it short under a mapping.
/// Used by one thread; must outlive the tensors it returns.
class Scratch {
 public:
  /// In the folder of `target`, which needs as much room again. Throws IO.
  explicit Scratch(const char* target);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// Gives `count` bytes of a dense tensor, from `offset` on.
  using Source = std::function<void(size_t offset, std::byte* out, size_t count)>;

  /// A tensor that may only be read, with the bytes that `source` gives, part after part. Throws IO.
  at::Tensor keep(at::ScalarType type, at::IntArrayRef shape, const Source& source);
  /// The same of a tensor at hand.
  at::Tensor keep(const at::Tensor& tensor);

  /// Lets the kernel drop the resident pages; they are read again when touched.
  void forget() const noexcept;

 private:
  void write(const std::byte* from, size_t bytes, size_t offset) const;

  std::string target_;
  int file_ = -1;
  size_t bytes_ = 0;
  std::vector<std::pair<void*, size_t>> mapped_;
  std::vector<std::byte> part_;
};

}  // namespace clipn
