# What the tests here share. They are run as
#
# cmake -DSOURCE=<project> -DBUILD=<its build tree> -DPREFIX=<moved install tree> -DWORK=<folder>
#       -DLIBTORCH=<root> -DCOMPILER=<c++> -DLAUNCHER=<compiler cache or nothing> ... -P NAME.cmake

cmake_minimum_required(VERSION 3.25)

# Runs a command; its output is in `output`. Ends the test when it fails.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# Ends the test unless `output` matches.
function(expect pattern)
  if(NOT output MATCHES "${pattern}")
    message(FATAL_ERROR "expected ${pattern} in\n${output}")
  endif()
endfunction()

# configure(CMAKE PROJECT [OPTION...]): into ${WORK}/build, with packages from `prefixes` (with colons).
function(configure cmake project)
  set(launcher "")
  if(LAUNCHER)
    set(launcher -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})
  endif()
  file(REMOVE_RECURSE ${WORK})
  run(${CMAKE_COMMAND} -E env CMAKE_PREFIX_PATH=${prefixes} --unset=CMAKE_BUILD_TYPE ${cmake} -S ${project} -B ${WORK}/build
      -G Ninja -DCMAKE_CXX_COMPILER=${COMPILER} ${launcher} ${ARGN})
  set(output "${output}" PARENT_SCOPE)
endfunction()
