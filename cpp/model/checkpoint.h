#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "clipn/core.h"

namespace clipn {

/// The tensors of a checkpoint file, mapped read-only: pages are read when touched and given back by forget().
/// Used by one thread; must outlive the tensors it returns.
class MappedCheckpoint {
 public:
  MappedCheckpoint(const char* path, const clipn_tensor* tensors, size_t count);
  ~MappedCheckpoint();
  MappedCheckpoint(const MappedCheckpoint&) = delete;
  MappedCheckpoint& operator=(const MappedCheckpoint&) = delete;

  bool has(const std::string& name) const { return table_.contains(name); }

  /// Throws CHECKPOINT when the tensor is missing.
  std::vector<int64_t> shape(const std::string& name) const;

  /// The tensor as stored, dense; a view of the file where layout and alignment allow.
  /// Throws CHECKPOINT when it is missing, has another shape or reaches outside the file.
  at::Tensor get(const std::string& name, const std::vector<int64_t>& shape) const;

  /// Lets the kernel drop the resident pages; they are read again when touched.
  void forget() const noexcept;

 private:
  const clipn_tensor& find(const std::string& name) const;

  std::unordered_map<std::string, const clipn_tensor*> table_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace clipn
