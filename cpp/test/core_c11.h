// What core_c11.c tells the C++ tests.
#ifndef CLIPN_TEST_CORE_C11_H_
#define CLIPN_TEST_CORE_C11_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Sizes of core.h's structs in the order of the header, as C sees them; returns how many.
size_t clipn_c11_sizes(const size_t** sizes);

// Calls every function with null arguments; returns how many of the eighteen that can refuse did, -1 for another ABI.
int clipn_c11_refusals(void);

#ifdef __cplusplus
}
#endif

#endif  // CLIPN_TEST_CORE_C11_H_
