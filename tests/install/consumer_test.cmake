# Builds and runs tests/install/consumer.
#
# CMAKE: debian (the CMake that runs this) or newest. CONFIG: a build type, or nothing. WAY: package,
# subdirectory or fetch. FORMAT_ALONE: suture::format only, where no LibTorch can be found. PARTLY: configure all,
# compile the consumer, but of the library suture::format alone.

include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

set(cmake ${CMAKE_COMMAND})
if(CMAKE STREQUAL "newest")
  set(cmake ${SOURCE}/.deps/cmake/bin/cmake)
  if(NOT EXISTS ${cmake})
    message("skipped: there is no ${cmake}, which ./dev test installs")
    return()
  endif()
endif()

set(options -DSUTURE_COMES=${WAY} -DSUTURE_SOURCE=${SOURCE})
if(CONFIG)
  list(APPEND options -DCMAKE_BUILD_TYPE=${CONFIG})
endif()
if(WAY STREQUAL "fetch")
  list(APPEND options -DFETCHCONTENT_FULLY_DISCONNECTED=ON -DFETCHCONTENT_SOURCE_DIR_SUTURE=${SOURCE})
endif()
if(FORMAT_ALONE)
  set(prefixes ${PREFIX})
  list(APPEND options -DFORMAT_ALONE=ON -DSUTURE_WITH_LIBTORCH=OFF)
else()
  set(prefixes ${PREFIX}:${LIBTORCH})
  # SUTURE_WERROR gives the compiler's cache what it has seen before.
  list(APPEND options -DSUTURE_WERROR=ON -DSUTURE_WITH_CUDA=OFF)
endif()
configure(${cmake} ${SOURCE}/tests/install/consumer ${options})

# Compiling the library a second time takes many minutes where no cache remembers the first.
if(PARTLY OR (WAY STREQUAL "subdirectory" AND NOT LAUNCHER))
  run(${cmake} --build ${WORK}/build --parallel 2 --target inspect CMakeFiles/edit.dir/edit.cpp.o)
  message("the library was not compiled again, edit not linked")
  set(FORMAT_ALONE ON)
else()
  run(${cmake} --build ${WORK}/build --parallel 2)
endif()

set(models ${SOURCE}/examples/miniature/family)
run(${WORK}/build/inspect ${models}/instruct)
expect("50 tensors, 1210112 bytes")
if(NOT FORMAT_ALONE)
  run(${WORK}/build/edit ${models}/grpo ${models}/sft ${models}/instruct ${WORK}/out)
  expect("norm 2\\.178; 50 tensors on disk equal those in memory")
endif()
if(EXISTS ${WORK}/build/inspect_with_cuda)
  run(${WORK}/build/inspect_with_cuda ${models}/instruct)
  run(${cmake} --install ${WORK}/build --prefix ${WORK}/installed)
  run(${CMAKE_COMMAND} -E env LD_TRACE_LOADED_OBJECTS=1 ${WORK}/installed/bin/inspect_with_cuda)
  expect("libsuture_cuda.so => [^ ]*/libsuture_cuda.so ")
endif()
