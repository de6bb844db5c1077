#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "clipn/core.h"

namespace clipn {

/// The tensors of a checkpoint file. Read, not mapped: a file that is cut short meanwhile is an error, where touching a
/// page of it would be a SIGBUS. Used by one thread.
class CheckpointFile {
 public:
  /// Throws IO when the file cannot be opened.
  CheckpointFile(const char* path, const clipn_tensor* tensors, size_t count);
  ~CheckpointFile();
  CheckpointFile(const CheckpointFile&) = delete;
  CheckpointFile& operator=(const CheckpointFile&) = delete;

  bool has(const std::string& name) const { return table_.contains(name); }

  /// Throws CHECKPOINT when the tensor is missing.
  std::vector<int64_t> shape(const std::string& name) const;

  /// The tensor as stored, dense, in memory of its own.
  /// Throws CHECKPOINT when it is missing, has another shape or reaches outside the file; IO when it cannot be read or
  /// the file has become shorter.
  at::Tensor get(const std::string& name, const std::vector<int64_t>& shape) const;

  /// Whether the tensor lies in the file dense and in this type. Throws as get().
  bool is_stored_as(const std::string& name, const std::vector<int64_t>& shape, at::ScalarType type) const;
  /// `count` bytes of a tensor that get() takes, from `offset` on. Throws IO.
  void read(const std::string& name, size_t offset, void* out, size_t count) const;

 private:
  const clipn_tensor& find(const std::string& name) const;
  /// The tensor, when it is as get() demands.
  const clipn_tensor& checked(const std::string& name, const std::vector<int64_t>& shape) const;
  void read(const clipn_tensor& tensor, size_t offset, void* out, size_t count) const;

  std::string path_;
  std::unordered_map<std::string, const clipn_tensor*> table_;
  int file_ = -1;
  size_t bytes_ = 0;
};

}  // namespace clipn
