// The one exception of the core: a clipn_status and what was wrong with which input.
#ifndef CLIPN_ERROR_H_
#define CLIPN_ERROR_H_

#include <stdexcept>
#include <string>

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
inline std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace clipn

#endif  // CLIPN_ERROR_H_
