# Finds LibTorch without the wheel's own package, which demands a CUDA toolkit that nothing here needs.
#
# Looks at LIBTORCH_ROOT, at CMAKE_PREFIX_PATH (a LibTorch root, or `torch.utils.cmake_prefix_path`), at what
# the project found as Torch, and at LIBTORCH_PINNED_ROOT (the copy that ./dev installs). Links libtorch_cpu and libc10 alone:
# libtorch.so would load a dozen CUDA libraries at start.
#
# Gives LibTorch::LibTorch, LibTorch_VERSION, LibTorch_ROOT, LibTorch_LIBRARY_DIR.

set(_roots "")
string(REPLACE ":" ";" _environment_prefixes "$ENV{CMAKE_PREFIX_PATH}")
foreach(_prefix IN LISTS LIBTORCH_ROOT CMAKE_PREFIX_PATH _environment_prefixes)
  # torch.utils.cmake_prefix_path is ROOT/share/cmake.
  list(APPEND _roots "${_prefix}" "${_prefix}/../.." "${_prefix}/libtorch" "${_prefix}/torch")
endforeach()
if(Torch_DIR)
  list(APPEND _roots "${Torch_DIR}/../../..")
endif()
list(APPEND _roots ${LIBTORCH_PINNED_ROOT})

find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_roots} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu)

unset(LibTorch_VERSION)
if(LibTorch_CPU_LIBRARY)
  get_filename_component(LibTorch_LIBRARY_DIR "${LibTorch_CPU_LIBRARY}" DIRECTORY)
  get_filename_component(LibTorch_ROOT "${LibTorch_LIBRARY_DIR}/.." ABSOLUTE)
  find_library(LibTorch_C10_LIBRARY c10 HINTS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH)
  find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS "${LibTorch_ROOT}/include" NO_DEFAULT_PATH)
  foreach(_header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(NOT LibTorch_VERSION AND EXISTS "${LibTorch_INCLUDE_DIR}/${_header}")
      file(STRINGS "${LibTorch_INCLUDE_DIR}/${_header}" _lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
      foreach(_line IN LISTS _lines)
        string(REGEX MATCH "TORCH_VERSION_([A-Z]+) +([0-9]+)" _ "${_line}")
        set(_version_${CMAKE_MATCH_1} "${CMAKE_MATCH_2}")
      endforeach()
      if(DEFINED _version_MAJOR)
        set(LibTorch_VERSION "${_version_MAJOR}.${_version_MINOR}.${_version_PATCH}")
      endif()
    endif()
  endforeach()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE
    "Name yours in CMAKE_PREFIX_PATH: its root, or what torch.utils.cmake_prefix_path says (./dev build installs one)")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  find_package(Threads REQUIRED)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(
    LibTorch::LibTorch SYSTEM
    INTERFACE "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(LibTorch::LibTorch INTERFACE "${LibTorch_CPU_LIBRARY}" "${LibTorch_C10_LIBRARY}"
                                                     Threads::Threads)
  # Headers up to 2.11 are C++17; those of 2.15 are C++20.
  if(LibTorch_VERSION VERSION_GREATER_EQUAL 2.12)
    target_compile_features(LibTorch::LibTorch INTERFACE cxx_std_20)
  endif()
  # The CUDA runtime that libtorch_cpu needs is found through its own RPATH at run time.
  target_link_options(LibTorch::LibTorch INTERFACE "LINKER:--allow-shlib-undefined"
                      "LINKER:-rpath,${LibTorch_LIBRARY_DIR}")
endif()
mark_as_advanced(LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR)
