# Kernel files are compiled by the ordinary compiler too, against csrc/simt. Nothing here is built unless asked for by
# name: scripts/build-simt.mjs builds the target `simt`.

set(HB_SIMT_PROCESSOR "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(HB_SIMT_PROCESSOR -march=x86-64-v3)  # any that tests run on: kernels are full of fma
endif()

file(GLOB HB_SIMT_SOURCES CONFIGURE_DEPENDS csrc/simt/*.cpp)
add_library(hb_simt STATIC EXCLUDE_FROM_ALL ${HB_SIMT_SOURCES} csrc/core/status.cpp)
target_link_libraries(hb_simt PUBLIC hb_flags ${CMAKE_DL_LIBS})
target_compile_options(hb_simt PRIVATE ${HB_SIMT_PROCESSOR})

# Flags of kernel files: every load and store calls a hook of csrc/simt/hooks.cpp (the sanitizer's own library is not
# linked), and reports find lines.
add_library(hb_simt_kernel INTERFACE)
target_link_libraries(hb_simt_kernel INTERFACE hb_flags)
target_compile_options(hb_simt_kernel INTERFACE -x c++ -O2 -g1 -fsanitize=thread ${HB_SIMT_PROCESSOR})

# The table and all kernels, for the emulator.
file(GLOB HB_CUDA_KERNELS CONFIGURE_DEPENDS csrc/cuda/*.cu)
set_source_files_properties(${HB_CUDA_KERNELS} PROPERTIES LANGUAGE CXX)
add_library(hb_cuda_simt STATIC EXCLUDE_FROM_ALL ${HB_CUDA_KERNELS})
target_link_libraries(hb_cuda_simt PRIVATE hb_simt_kernel PUBLIC hb_simt)
add_library(hb_cuda_simt_host OBJECT EXCLUDE_FROM_ALL csrc/cuda/table.cpp csrc/cuda/door.cpp)
target_link_libraries(hb_cuda_simt_host PRIVATE hb_flags)
target_sources(hb_cuda_simt PRIVATE $<TARGET_OBJECTS:hb_cuda_simt_host>)

# The device library of the tests.
add_library(hb_device_simt SHARED EXCLUDE_FROM_ALL csrc/device/simt.cpp)
set_target_properties(hb_device_simt PROPERTIES PREFIX "" OUTPUT_NAME hyper_bagel_simt SUFFIX ".so")
target_link_libraries(hb_device_simt PRIVATE hb_cuda_simt)

file(GLOB HB_SIMT_TESTS CONFIGURE_DEPENDS csrc/simt/tests/*.cu csrc/cuda/conformance/*.cu)
set_source_files_properties(${HB_SIMT_TESTS} PROPERTIES LANGUAGE CXX)
add_executable(simt_tests EXCLUDE_FROM_ALL ${HB_SIMT_TESTS})
target_link_libraries(simt_tests PRIVATE hb_simt_kernel hb_cuda_simt)

add_custom_target(simt DEPENDS hb_device_simt simt_tests)
