#include "model/run_method.h"

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "error.h"

namespace clipn {
namespace {

// The interpreter's message is a traceback that ends with the cause.
std::string cause_line(const std::string& text) {
  const size_t at = text.find("\nRuntimeError: ");
  return std::string(first_line(std::string_view(text).substr(at == std::string::npos ? 0 : at + 1)));
}

}  // namespace

c10::IValue run_method(const torch::jit::Module& module, const char* method, at::Tensor input) {
  try {
    return module.get_method(method)({std::move(input)});
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    if (says_out_of_memory(e.what()))
      throw Error(CLIPN_OUT_OF_MEMORY, std::string(method) + ": " + cause_line(e.what()));
    // What the method does is the file's affair, and so is what it cannot do with this input.
    throw Error(CLIPN_MODEL_CONTRACT, std::string(method) + " failed: " + cause_line(e.what()));
  }
}

}  // namespace clipn
