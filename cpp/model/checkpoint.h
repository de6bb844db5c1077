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

 private:
  const clipn_tensor& find(const std::string& name) const;
  void read(const clipn_tensor& tensor, void* out, size_t bytes) const;

  std::string path_;
  std::unordered_map<std::string, const clipn_tensor*> table_;
  int file_ = -1;
  size_t bytes_ = 0;
};

}  // namespace clipn
