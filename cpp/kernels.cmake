# Kernels, what chooses them, and what calls them. Include it after the target clipn_torch (libtorch's headers and
# libraries) exists, then give the core ${CLIPN_KERNEL_OBJECTS}. Everything is an object library, so that its flags hold in
# whatever folder the objects are used.
set(CLIPN_CPP_DIR ${CMAKE_CURRENT_LIST_DIR})
set(CLIPN_KERNEL_OBJECTS)

function(clipn_add_objects name)
  add_library(${name} OBJECT ${ARGN})
  target_include_directories(${name} PRIVATE ${CLIPN_CPP_DIR} ${CLIPN_CPP_DIR}/include)
  target_compile_features(${name} PRIVATE cxx_std_20)
  # No link-time optimisation: it could merge code of two targets.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                           INTERPROCEDURAL_OPTIMIZATION OFF)
  set(CLIPN_KERNEL_OBJECTS ${CLIPN_KERNEL_OBJECTS} $<TARGET_OBJECTS:${name}> PARENT_SCOPE)
endfunction()

# The math options change no result here; they only let the compiler vectorise comparisons. Vectors are passed between
# functions of one file alone, so that their ABI is nobody's business.
set(CLIPN_KERNEL_OPTIONS -O3 -fopenmp-simd -fno-math-errno -fno-trapping-math -Wno-psabi)
set(clipn_targets base)
set(clipn_flags_avx2 -mavx2 -mfma)
set(clipn_flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma)
set(clipn_flags_avx512bf16 ${clipn_flags_avx512} -mavx512bf16)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND clipn_targets avx2 avx512 avx512bf16)
endif()
foreach(target IN LISTS clipn_targets)
  clipn_add_objects(clipn_kernels_${target} ${CLIPN_CPP_DIR}/cpu/kernels.cpp)
  target_compile_definitions(clipn_kernels_${target} PRIVATE CLIPN_CPU_TARGET=${target})
  target_compile_options(clipn_kernels_${target} PRIVATE ${CLIPN_KERNEL_OPTIONS} ${clipn_flags_${target}})
endforeach()

clipn_add_objects(clipn_dispatch ${CLIPN_CPP_DIR}/cpu/dispatch.cpp)
if("avx512" IN_LIST clipn_targets)
  target_compile_definitions(clipn_dispatch PRIVATE CLIPN_X86_TARGETS)
endif()

# A fused multiply-add would move a resize weight away from Pillow's.
clipn_add_objects(clipn_image ${CLIPN_CPP_DIR}/image/resize.cpp ${CLIPN_CPP_DIR}/image/resize_plan.cpp)
target_compile_options(clipn_image PRIVATE -ffp-contract=off)

# at::parallel_for is a template that runs serially without -fopenmp. The core itself does not link an OpenMP runtime: it
# must use the one that libtorch_cpu brings, and a second one would not know that the first is in a parallel region.
clipn_add_objects(clipn_score ${CLIPN_CPP_DIR}/score/products.cpp ${CLIPN_CPP_DIR}/score/score.cpp
                  ${CLIPN_CPP_DIR}/score/words.cpp)
target_compile_options(clipn_score PRIVATE -fopenmp)
target_link_libraries(clipn_score PRIVATE clipn_torch)

clipn_add_objects(clipn_tower ${CLIPN_CPP_DIR}/tower/gemm.cpp ${CLIPN_CPP_DIR}/tower/image_tower.cpp
                  ${CLIPN_CPP_DIR}/tower/int8_linear.cpp ${CLIPN_CPP_DIR}/tower/linear.cpp
                  ${CLIPN_CPP_DIR}/tower/tasks.cpp ${CLIPN_CPP_DIR}/tower/text_tower.cpp
                  ${CLIPN_CPP_DIR}/tower/transformer.cpp)
target_compile_options(clipn_tower PRIVATE -fopenmp -Wall -Wextra)
target_link_libraries(clipn_tower PRIVATE clipn_torch)
