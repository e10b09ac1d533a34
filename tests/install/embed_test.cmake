# Builds examples/embed against the install tree as an outside project would, and runs it on the trained family.

include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

set(prefixes ${PREFIX}:${LIBTORCH})
configure(${CMAKE_COMMAND} ${SOURCE}/examples/embed -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${WORK}/build)

set(models ${SOURCE}/examples/miniature/family)
run(${WORK}/build/embed ${models}/grpo ${models}/sft ${models}/instruct ${WORK}/out)
expect("50 tensors on disk equal those in memory")
run(${PREFIX}/bin/suture check ${models}/instruct ${WORK}/out)
