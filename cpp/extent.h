// Sizes that callers name: a buffer that no process can have is refused before anything of it is read.
#ifndef CLIPN_EXTENT_H_
#define CLIPN_EXTENT_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>

namespace clipn {

// What a process on x64 can address.
constexpr int64_t kMostBytes = int64_t{1} << 47;

// Whether a dense array of these sizes, each from 0, can be anywhere. Sizes of 0 count as 1.
inline bool fits_memory(std::initializer_list<int64_t> sizes, int64_t item_bytes) {
  int64_t left = kMostBytes / item_bytes;
  return std::all_of(sizes.begin(), sizes.end(), [&](int64_t size) {
    left /= std::max<int64_t>(size, 1);
    return left > 0;
  });
}

}  // namespace clipn

#endif  // CLIPN_EXTENT_H_
