#pragma once

#include <memory>
#include <string>
#include <vector>

#include "clipn/core.h"
#include "teach/adamw.h"
#include "teach/kept_memory.h"
#include "teach/no_tower.h"

namespace clipn {

/// Trains the no tower on features of the frozen towers (spec 5). It draws nothing at random: a step is a function of
/// the weights, the moments and its arguments. Used by one thread at a time.
class Teacher {
 public:
  /// Throws Error: CHECKPOINT for a tensor that is missing or misshapen, IO, INVALID_ARG (precision),
  /// DEVICE_UNAVAILABLE.
  explicit Teacher(const clipn_teacher_options& options);

  /// One step. When a loss or a gradient is not finite, nothing is changed and `finite` is 0.
  /// Throws Error INVALID_ARG for sizes, ids or maps out of range.
  clipn_teacher_losses step(const clipn_teacher_batch& batch);

  /// Copies a weight or a moment, float [count], row-major. Throws Error INVALID_ARG for an unknown name or a wrong
  /// count.
  void read(clipn_teacher_part part, const std::string& name, float* out, uint64_t count) const;

 private:
  /// Texts of about one length: rows of the batch and the tokens that cover the longest.
  struct Bucket {
    std::vector<int64_t> rows;
    int64_t length;
  };
  std::vector<Bucket> buckets(const clipn_teacher_batch& batch) const;
  at::Tensor encode(const Bucket& bucket, const at::Tensor& ids, const at::Tensor& maps) const;
  void check(const clipn_teacher_batch& batch) const;

  clipn_architecture arch_;
  at::Device device_;
  double scale_;
  int64_t prompts_, micro_batch_;
  std::unique_ptr<NoTower> tower_;
  std::unique_ptr<AdamW> optimizer_;
  KeptMemory memory_;
};

}  // namespace clipn
