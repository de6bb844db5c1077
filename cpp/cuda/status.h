// From CUDA's error numbers (cudaError_t, whose values are fixed) to a status of core.h.
#ifndef CLIPN_CUDA_STATUS_H_
#define CLIPN_CUDA_STATUS_H_

#include "clipn/core.h"

namespace clipn {

inline clipn_status status_of_cuda(int error) {
  switch (error) {
    case 0:
      return CLIPN_OK;
    case 2:  // memory allocation
      return CLIPN_OUT_OF_MEMORY;
    case 35:   // driver older than the runtime
    case 46:   // device in exclusive use by another process
    case 100:  // no device
    case 101:  // no such device
    case 200:  // no code for this device in the library
    case 209:  // no kernel for this device in the library
    case 222:  // PTX newer than the driver
    case 223:  // compilation of PTX switched off
    case 803:  // driver and display driver do not match
    case 804:  // forward compatibility without the hardware for it
      return CLIPN_DEVICE_UNAVAILABLE;
    case 214:  // uncorrectable memory error
    case 226:  // error in memory, contained
    case 700:  // illegal address
    case 702:  // launch timed out
    case 709:  // context destroyed
    case 710:  // device assertion
    case 714:  // hardware stack
    case 715:  // illegal instruction
    case 716:  // misaligned address
    case 717:  // address space
    case 718:  // program counter
    case 719:  // launch failed
    case 721:  // device lost from its cluster launch
    case 999:  // unknown, as after the device fell off the bus
      return CLIPN_DEVICE_LOST;
    default:
      return CLIPN_INTERNAL;
  }
}

}  // namespace clipn

#endif  // CLIPN_CUDA_STATUS_H_
