# The machine code of the CUDA kernels holds no fused multiply-add on floats. (Integer ones, IMAD, may be.)
#
# cmake -DLIBRARY=<libsuture_cuda.so> -DNVCC=<nvcc> -P no_fused_operations_test.cmake

cmake_minimum_required(VERSION 3.25)
get_filename_component(_toolkit "${NVCC}" DIRECTORY)
find_program(CUOBJDUMP cuobjdump HINTS ${_toolkit})
if(NOT CUOBJDUMP)
  message("skipped: there is no cuobjdump")
  return()
endif()
execute_process(COMMAND ${CUOBJDUMP} -sass ${LIBRARY} OUTPUT_VARIABLE _code ERROR_VARIABLE _error
                RESULT_VARIABLE _status)
if(NOT _status EQUAL 0)
  message(FATAL_ERROR "cuobjdump failed: ${_error}")
endif()

# Additions must be there, or this looks at the wrong thing.
foreach(_expected FADD FMUL DADD DMUL)
  if(NOT _code MATCHES "[^A-Z]${_expected}[^A-Z]")
    message(FATAL_ERROR "no ${_expected} in the machine code of ${LIBRARY}")
  endif()
endforeach()
string(REGEX MATCHALL "[^A-Z]([FDH]FMA|FFMA2|HFMA2)[^A-Z][^;]*" _fused "${_code}")
if(_fused)
  list(GET _fused 0 _first)
  list(LENGTH _fused _count)
  message(FATAL_ERROR "${_count} fused operations, the first: ${_first}")
endif()
