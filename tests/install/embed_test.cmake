# Installs the project, builds examples/embed against the install tree as an outside project would, moves
# the tree, and runs the example on the trained family.
#
# cmake -DSOURCE=... -DBUILD=... -DWORK=... -DLIBTORCH=... -P embed_test.cmake

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGN}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
file(GLOB _built ${BUILD}/libsuture_cuda.so)
file(GLOB_RECURSE _installed ${WORK}/first/*/libsuture_cuda.so)
if(_built AND NOT _installed)
  message(FATAL_ERROR "the CUDA kernels were built, but not installed")
endif()
file(RENAME ${WORK}/first ${WORK}/prefix) # the package must not remember where it was installed

run(${CMAKE_COMMAND} -E env CMAKE_PREFIX_PATH=${WORK}/prefix:${LIBTORCH} ${CMAKE_COMMAND} -S ${SOURCE}/examples/embed
    -B ${WORK}/build -G Ninja -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${WORK}/build)

set(models ${SOURCE}/examples/miniature/family)
run(${WORK}/build/embed ${models}/grpo ${models}/sft ${models}/instruct ${WORK}/out)
if(NOT output MATCHES "50 tensors on disk equal those in memory")
  message(FATAL_ERROR "unexpected output:\n${output}")
endif()
run(${WORK}/prefix/bin/suture check ${models}/instruct ${WORK}/out)
