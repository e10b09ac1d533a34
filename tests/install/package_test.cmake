# What the package refuses, and says to it; and suture::format through pkg-config.

include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

# A LibTorch of another version, as far as its version is looked at.
set(other ${WORK}-other-libtorch)
file(WRITE ${other}/include/ATen/ATen.h "")
file(WRITE ${other}/include/torch/headeronly/version.h
     "#define TORCH_VERSION_MAJOR 9\n#define TORCH_VERSION_MINOR 8\n#define TORCH_VERSION_PATCH 7\n")
file(WRITE ${other}/lib/libtorch_cpu.so "")
file(WRITE ${other}/lib/libc10.so "")

file(GLOB_RECURSE cuda ${PREFIX}/*/suture_cuda_targets.cmake)
configure(${CMAKE_COMMAND} ${SOURCE}/tests/install/refusals -DSUTURE_PREFIX=${PREFIX} -DLIBTORCH=${LIBTORCH}
          -DOTHER_LIBTORCH=${other} -DWITH_CUDA=${cuda})
expect("all as expected")

find_program(PKG_CONFIG NAMES pkg-config pkgconf)
if(PKG_CONFIG)
  file(GLOB_RECURSE pc ${PREFIX}/*/suture-format.pc)
  get_filename_component(folder ${pc} DIRECTORY)
  set(ENV{PKG_CONFIG_PATH} ${folder})
  run(sh -c "'${COMPILER}' -std=c++17 '${SOURCE}/tests/install/consumer/inspect.cpp' -o '${WORK}/inspect' \
$('${PKG_CONFIG}' --cflags --libs suture-format)")
  run(${WORK}/inspect ${SOURCE}/examples/miniature/family/instruct)
  expect("50 tensors")
endif()
