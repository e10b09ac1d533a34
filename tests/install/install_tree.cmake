# Installs the project, looks for names of places in the package, and moves the tree for the tests that use it.

include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

file(REMOVE_RECURSE ${WORK} ${PREFIX})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK})

file(GLOB _built ${BUILD}/libsuture_cuda.so)
file(GLOB_RECURSE _installed ${WORK}/*/libsuture_cuda.so)
if(_built AND NOT _installed)
  message(FATAL_ERROR "the CUDA kernels were built, but not installed")
endif()

file(GLOB_RECURSE _package ${WORK}/*.cmake ${WORK}/*.pc)
list(LENGTH _package _count)
if(_count LESS 8)
  message(FATAL_ERROR "only ${_count} files of a package: ${_package}")
endif()
foreach(_file IN LISTS _package)
  file(READ ${_file} _text)
  foreach(_place ${SOURCE} ${BUILD} ${WORK} ${LIBTORCH} $ENV{HOME})
    string(FIND "${_text}" "${_place}" _position)
    if(NOT _position EQUAL -1)
      message(FATAL_ERROR "${_file} names ${_place}")
    endif()
  endforeach()
endforeach()

file(RENAME ${WORK} ${PREFIX})
run(${PREFIX}/bin/suture --version)
# It has suture-model for this, which it must find where the tree now lies.
run(${PREFIX}/bin/suture eval --help)
