# The CUDA plugin, libclipn_cuda-<minor>.so: built when CLIPN_TORCH is a CUDA libtorch and nvcc is there, else named as left
# out. The kernels are compiled by nvcc alone (no torch header), the rest by the C++ compiler with libtorch's headers.
set(CLIPN_CUDA_ARCHITECTURES "75;80;86;89;90a;100;120" CACHE STRING "GPUs to compile for; the last one gets PTX for newer")

if(CLIPN_SANITIZE)
  return()
endif()
if(NOT EXISTS "${CLIPN_TORCH}/lib/libtorch_cuda.so")
  message(STATUS "The CUDA plugin is not built: libtorch at ${CLIPN_TORCH} is no CUDA build")
  return()
endif()
find_program(CLIPN_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(NOT CLIPN_NVCC)
  message(STATUS "The CUDA plugin is not built: there is no nvcc (CUDA 13) on PATH, in CUDA_HOME or in /usr/local/cuda")
  return()
endif()

# No contraction: a row's bits are those of the source (score_state.h).
set(clipn_nvcc_flags -std=c++20 -O3 -fmad=false -Xcompiler=-fPIC,-fvisibility=hidden -I${CMAKE_SOURCE_DIR}/cpp
                     -I${CMAKE_SOURCE_DIR}/cpp/include -I${CMAKE_SOURCE_DIR}/cpp/cuda --threads=0)
foreach(architecture IN LISTS CLIPN_CUDA_ARCHITECTURES)
  list(APPEND clipn_nvcc_flags -gencode=arch=compute_${architecture},code=sm_${architecture})
endforeach()
list(GET CLIPN_CUDA_ARCHITECTURES -1 newest)
if(NOT newest MATCHES "a$")
  list(APPEND clipn_nvcc_flags -gencode=arch=compute_${newest},code=compute_${newest})
endif()

set(clipn_kernel_objects)
file(GLOB clipn_kernel_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cpp/cuda/*.h)
foreach(kernel normalise resize score_features score_fold score_logits)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${kernel}.o)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/cuda
    COMMAND ${CLIPN_NVCC} ${clipn_nvcc_flags} -c ${CMAKE_SOURCE_DIR}/cpp/cuda/${kernel}.cu -o ${object}
    DEPENDS ${CMAKE_SOURCE_DIR}/cpp/cuda/${kernel}.cu ${clipn_kernel_headers}
    COMMENT "nvcc ${kernel}.cu"
    VERBATIM)
  list(APPEND clipn_kernel_objects ${object})
endforeach()

get_filename_component(clipn_cuda_root ${CLIPN_NVCC} REALPATH)
get_filename_component(clipn_cuda_root ${clipn_cuda_root} DIRECTORY)
find_path(CLIPN_CUDA_INCLUDE cuda_runtime_api.h HINTS ${clipn_cuda_root}/../include ENV CUDA_HOME ENV CUDA_PATH
          PATHS /usr/local/cuda PATH_SUFFIXES include REQUIRED)
find_library(CLIPN_CUDART_STATIC libcudart_static.a HINTS ${CLIPN_CUDA_INCLUDE}/.. ENV CUDA_HOME ENV CUDA_PATH
             PATHS /usr/local/cuda PATH_SUFFIXES lib64 lib targets/x86_64-linux/lib REQUIRED)

add_library(clipn_cuda SHARED cpp/cuda/device_score.cc cpp/cuda/pixel_feed.cc cpp/cuda/plugin.cc cpp/cuda/resize_jobs.cpp
                              cpp/cuda/towers.cc cpp/image/resize_plan.cpp ${clipn_kernel_objects})
# As in the core: a fused multiply-add would move a resize weight away from Pillow's.
set_source_files_properties(cpp/image/resize_plan.cpp PROPERTIES COMPILE_OPTIONS -ffp-contract=off)
# libtorch's headers are most of the compile time, as in the core.
set_target_properties(
  clipn_cuda PROPERTIES OUTPUT_NAME "clipn_cuda-${torch_major}.${torch_minor}" SKIP_BUILD_RPATH ON UNITY_BUILD ON
                        UNITY_BUILD_BATCH_SIZE 3)
target_include_directories(clipn_cuda PRIVATE cpp cpp/include)
target_include_directories(clipn_cuda SYSTEM PRIVATE ${CLIPN_CUDA_INCLUDE})
target_compile_options(clipn_cuda PRIVATE -Wall -Wextra)
target_link_libraries(
  clipn_cuda PRIVATE clipn_torch "${CLIPN_TORCH}/lib/libc10_cuda.so" "${CLIPN_TORCH}/lib/libtorch_cuda.so"
                     ${CLIPN_CUDART_STATIC} ${CMAKE_DL_LIBS} rt)
# torch_cuda's own needs lie in the nvidia wheels, which linking does without. Unloading would pull kernels from under lanes.
target_link_options(clipn_cuda PRIVATE -Wl,--allow-shlib-undefined -Wl,-z,nodelete)
