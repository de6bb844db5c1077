// The one exception of the core: a clipn_status and what was wrong with which input.
#ifndef CLIPN_ERROR_H_
#define CLIPN_ERROR_H_

#include <algorithm>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include "clipn/core.h"

namespace clipn {

class Error : public std::runtime_error {
 public:
  Error(clipn_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
  clipn_status status() const { return status_; }

 private:
  clipn_status status_;
};

// libtorch appends a C++ backtrace to its messages; the first line is what a person can use.
inline std::string_view first_line(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of('\n'), text.size());
  return text.substr(begin, text.find('\n', begin) - begin);
}

inline bool says_out_of_memory(std::string_view text) {
  return text.find("can't allocate memory") != std::string_view::npos ||
         text.find("not enough memory") != std::string_view::npos;
}

// Whether an exception says nothing of what was tried. libtorch's allocator for the CPU throws no class of its own.
inline bool is_out_of_memory(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr || says_out_of_memory(error.what());
}

}  // namespace clipn

#endif  // CLIPN_ERROR_H_
