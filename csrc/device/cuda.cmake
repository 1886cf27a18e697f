# The device library of NVIDIA cards. scripts/build-cuda.mjs builds it in a folder of its own, with HB_CUDA on, the
# architectures (CMake would take the compiler's oldest) and the flags in HB_CUDA_FLAGS.
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # not every CMake knows how this compiler is asked for it
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)

file(GLOB HB_CUDA_KERNELS CONFIGURE_DEPENDS csrc/cuda/*.cu)
set(HB_CUDA_HOST csrc/cuda/table.cpp csrc/cuda/door.cpp csrc/device/cuda.cpp)
set_source_files_properties(${HB_CUDA_HOST} PROPERTIES LANGUAGE CUDA)
add_library(hb_device_cuda SHARED ${HB_CUDA_KERNELS} ${HB_CUDA_HOST} csrc/core/status.cpp)
set_target_properties(hb_device_cuda PROPERTIES PREFIX "" OUTPUT_NAME hyper_bagel_cuda SUFFIX ".so"
                      CUDA_RUNTIME_LIBRARY Static)
target_include_directories(hb_device_cuda PRIVATE csrc)
target_compile_definitions(hb_device_cuda PRIVATE HB_VERSION="${HB_VERSION}")
target_compile_options(hb_device_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${HB_CUDA_FLAGS}>")
target_link_libraries(hb_device_cuda PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
target_link_options(hb_device_cuda PRIVATE -static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL -Wl,-z,nodelete)

# The tests of the primitives for a card; on the emulator they are part of simt_tests. Not in the published package.
file(GLOB HB_CUDA_CONFORMANCE CONFIGURE_DEPENDS csrc/cuda/conformance/*.cu)
if(HB_CUDA_CONFORMANCE)
  add_executable(cuda_conformance EXCLUDE_FROM_ALL ${HB_CUDA_CONFORMANCE} csrc/cuda/door.cpp csrc/core/status.cpp)
  set_target_properties(cuda_conformance PROPERTIES CUDA_RUNTIME_LIBRARY Static)
  target_include_directories(cuda_conformance PRIVATE csrc)
  target_compile_options(cuda_conformance PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${HB_CUDA_FLAGS}>")
  target_link_libraries(cuda_conformance PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
  target_link_options(cuda_conformance PRIVATE -static-libstdc++ -static-libgcc)
endif()
