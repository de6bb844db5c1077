# Kernels and what chooses them. Include it after the C++ standard is set, then give the core
#   ${CLIPN_KERNEL_SOURCES} and ${CLIPN_KERNEL_OBJECTS}
# and an include path of this folder and of include/.
set(CLIPN_CPP_DIR ${CMAKE_CURRENT_LIST_DIR})
set(CLIPN_KERNEL_SOURCES ${CLIPN_CPP_DIR}/cpu/dispatch.cpp ${CLIPN_CPP_DIR}/image/resize.cpp
                         ${CLIPN_CPP_DIR}/score/score.cpp)
set(CLIPN_KERNEL_OBJECTS)

# No link-time optimisation: it could merge code of two targets. The math options change no result here; they only let
# the compiler vectorise comparisons.
function(clipn_add_kernels target)
  add_library(clipn_kernels_${target} OBJECT ${CLIPN_CPP_DIR}/cpu/kernels.cpp)
  target_include_directories(clipn_kernels_${target} PRIVATE ${CLIPN_CPP_DIR})
  target_compile_definitions(clipn_kernels_${target} PRIVATE CLIPN_CPU_TARGET=${target})
  target_compile_features(clipn_kernels_${target} PRIVATE cxx_std_20)
  target_compile_options(clipn_kernels_${target} PRIVATE -O3 -fopenmp-simd -fno-math-errno -fno-trapping-math ${ARGN})
  set_target_properties(clipn_kernels_${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                                           INTERPROCEDURAL_OPTIMIZATION OFF)
  list(APPEND CLIPN_KERNEL_OBJECTS $<TARGET_OBJECTS:clipn_kernels_${target}>)
  set(CLIPN_KERNEL_OBJECTS ${CLIPN_KERNEL_OBJECTS} PARENT_SCOPE)
endfunction()

clipn_add_kernels(base)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  clipn_add_kernels(avx2 -mavx2 -mfma)
  clipn_add_kernels(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma)
  set_property(SOURCE ${CLIPN_CPP_DIR}/cpu/dispatch.cpp APPEND PROPERTY COMPILE_DEFINITIONS CLIPN_X86_TARGETS)
endif()

# Dispatch runs before the CPU is known. A fused multiply-add would move a resize weight away from Pillow's.
set_property(SOURCE ${CLIPN_CPP_DIR}/cpu/dispatch.cpp APPEND PROPERTY COMPILE_OPTIONS -fno-lto)
set_property(SOURCE ${CLIPN_CPP_DIR}/image/resize.cpp APPEND PROPERTY COMPILE_OPTIONS -ffp-contract=off)
