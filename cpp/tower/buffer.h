// Memory that is kept from call to call.
#ifndef CLIPN_TOWER_BUFFER_H_
#define CLIPN_TOWER_BUFFER_H_

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <cstdint>
#include <utility>

namespace clipn {

/// Numbers in cache-line-aligned memory that only grows: the steady state allocates nothing.
template <typename T>
class Buffer {
 public:
  /// Room for `count` numbers, zeros when it grows.
  T* reserve(int64_t count) {
    if (!fits(count)) hold(at::zeros({bytes(count)}, at::kByte));
    return data_;
  }
  /// Room for `count` numbers that the caller writes before any is read.
  T* reserve_to_fill(int64_t count) {
    if (!fits(count)) hold(at::empty({bytes(count)}, at::kByte));
    return data_;
  }
  T* data() { return data_; }
  const T* data() const { return data_; }

 private:
  static int64_t bytes(int64_t count) { return count * static_cast<int64_t>(sizeof(T)); }
  bool fits(int64_t count) const { return bytes_.defined() && bytes_.size(0) >= bytes(count); }
  void hold(at::Tensor bytes) {
    bytes_ = std::move(bytes);
    data_ = static_cast<T*>(bytes_.mutable_data_ptr());
  }

  at::Tensor bytes_;
  T* data_ = nullptr;  // of bytes_: a tensor looks it up at each call
};

}  // namespace clipn

#endif  // CLIPN_TOWER_BUFFER_H_
