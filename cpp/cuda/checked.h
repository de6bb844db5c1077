// Errors of the plugin's side: every CUDA call and every libtorch call ends as an Error of core.h's statuses.
#ifndef CLIPN_CUDA_CHECKED_H_
#define CLIPN_CUDA_CHECKED_H_

#include <c10/util/Exception.h>
#include <cuda_runtime_api.h>

#include <string>

#include "cuda/status.h"
#include "error.h"

namespace clipn {

[[noreturn]] inline void fail_cuda(const std::string& what, int error) {
  const clipn_status status = status_of_cuda(error);
  const std::string text = what + ": " + cudaGetErrorString(static_cast<cudaError_t>(error));
  throw Error(status, status == CLIPN_DEVICE_LOST ? "the GPU is lost to this process: " + text : text);
}

inline void check_cuda(const char* what, int error) {
  if (error != 0) fail_cuda(what, error);
}

// Runs `call`; what libtorch throws becomes out of memory, a lost device, or a failure of `what`.
template <typename Call>
auto translated(const char* what, const Call& call) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    throw Error(CLIPN_OUT_OF_MEMORY,
                std::string(what) + ": " + std::string(first_line(error.what_without_backtrace())));
  } catch (const std::exception& error) {
    // A lost device answers every call with its error; otherwise this call is the model's own failure.
    const cudaError_t state = cudaDeviceSynchronize();
    if (status_of_cuda(state) == CLIPN_DEVICE_LOST) fail_cuda(what, state);
    const std::string text = error.what();
    const auto says = [&](const char* words) { return text.find(words) != std::string::npos; };
    if (says("out of memory") || says("ALLOC_FAILED") || is_out_of_memory(error)) {
      throw Error(CLIPN_OUT_OF_MEMORY, std::string(what) + ": " + std::string(first_line(text)));
    }
    throw Error(CLIPN_MODEL_CONTRACT, std::string(what) + " failed: " + std::string(first_line(text)));
  }
}

}  // namespace clipn

#endif  // CLIPN_CUDA_CHECKED_H_
