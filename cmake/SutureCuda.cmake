# libsuture_cuda.so: the CUDA kernels in a library of their own, which is loaded when a CUDA device is asked
# for. Built where there is a toolkit that can; everything else is the same without it.
#
# The toolkit is CMAKE_CUDA_COMPILER, CUDACXX, what is on PATH, or /usr/local/cuda.

set(_suture_cuda_oldest 12.8) # the first that knows sm_100

function(_suture_no_cuda reason)
  if(SUTURE_WITH_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA kernels left out: ${reason}")
  else()
    message(FATAL_ERROR "SUTURE_WITH_CUDA is ${SUTURE_WITH_CUDA}, but ${reason}")
  endif()
endfunction()

# From the folder of programs to that of libraries, unless that is fixed.
set(_suture_library_folder ${CMAKE_INSTALL_LIBDIR})
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  file(RELATIVE_PATH _suture_library_folder ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
endif()
target_compile_definitions(suture PRIVATE SUTURE_LIBRARY_FOLDER="${_suture_library_folder}")

# Of the last one there is PTX, too, from which a driver compiles for newer ones.
set(SUTURE_CUDA_ARCHITECTURES "80-real;90-real;100" CACHE STRING "Architectures of the CUDA kernels, as CMake names them")
if(NOT SUTURE_WITH_CUDA)
  return()
endif()

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(SUTURE_NVCC nvcc PATHS /usr/local/cuda/bin)
  mark_as_advanced(SUTURE_NVCC)
  if(SUTURE_NVCC)
    set(ENV{CUDACXX} "${SUTURE_NVCC}") # a compiler that is named outright would not be tried first
  endif()
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  _suture_no_cuda("there is no working CUDA compiler")
  return()
endif()
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS _suture_cuda_oldest)
  _suture_no_cuda("CUDA ${CMAKE_CUDA_COMPILER_VERSION} is older than ${_suture_cuda_oldest}")
  return()
endif()

# CMake 3.25 does not know that nvcc does C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()

add_library(suture_cuda SHARED src/kernels/cuda/linear_form.cu src/kernels/cuda/statistics.cu
                               src/kernels/cuda/table.cu)
target_include_directories(suture_cuda PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
# No operation may be fused with another: the kernels say so for each, and this for what they forgot.
target_compile_options(suture_cuda PRIVATE --fmad=false -Xcompiler=-Wall,-Wextra,-Wshadow,-Wconversion
                                           -Xcompiler=-Wno-sign-conversion)
if(SUTURE_WERROR)
  target_compile_options(suture_cuda PRIVATE -Werror=all-warnings -Xcompiler=-Werror)
endif()
# The runtime is linked statically, hidden from and unaware of the one that LibTorch brings, so that any
# LibTorch will do; both work in the device's one primary context.
set_target_properties(
  suture_cuda
  PROPERTIES CUDA_ARCHITECTURES "${SUTURE_CUDA_ARCHITECTURES}"
             CUDA_STANDARD 20
             CUDA_STANDARD_REQUIRED ON
             CUDA_RUNTIME_LIBRARY Static
             CUDA_VISIBILITY_PRESET hidden
             LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
target_link_options(suture_cuda PRIVATE "LINKER:--exclude-libs,ALL" "LINKER:--no-undefined")
set_target_properties(suture_cuda PROPERTIES EXPORT_NAME cuda)
# Suture needs only to find the library when it runs. Who links suture::cuda insists on it.
add_library(suture::cuda ALIAS suture_cuda)
target_link_libraries(suture_cuda INTERFACE suture)
target_link_options(suture_cuda INTERFACE "LINKER:--no-as-needed") # nothing in it is called by name
add_dependencies(suture suture_cuda) # wanted wherever suture is, though not linked

# Where whatever links suture finds the library: in the build tree, or in the library folder of the install tree.
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_BUILD_RPATH ${PROJECT_BINARY_DIR}) # which `cmake --install` takes out
else()
  target_link_options(suture INTERFACE "$<BUILD_INTERFACE:LINKER:-rpath,${PROJECT_BINARY_DIR}>")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  target_link_options(suture INTERFACE "$<INSTALL_INTERFACE:LINKER:-rpath,${CMAKE_INSTALL_LIBDIR}>")
else()
  target_link_options(suture INTERFACE "$<INSTALL_INTERFACE:LINKER:-rpath,$<INSTALL_PREFIX>/${CMAKE_INSTALL_LIBDIR}>")
endif()
