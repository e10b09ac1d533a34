# The rules of the layout that a compiler does not check:
#
# - includes point one way: apps > serve, report > ablation, explore, lowrank > evaluate, analysis > tokenizer, model, surgery > lora >
#   stream, names > core > kernels, format;
# - suture::format and the kernels include no LibTorch header;
# - public headers include the standard library, LibTorch and each other, nothing else;
# - a library neither prints nor ends the process;
# - a file stays short enough to be read.
#
# cmake -DSOURCE=<project> -P layering_test.cmake

cmake_minimum_required(VERSION 3.25)
set(_max_lines 600)
set(_problems "")

# Folders of src/ that a folder may include, itself aside.
set(_below_kernels "")
set(_below_format "")
set(_below_core kernels format)
set(_below_stream core kernels format)
set(_below_names core kernels format)
set(_below_lora names stream core kernels format)
set(_below_surgery lora names stream core kernels format)
set(_below_analysis surgery names stream core kernels format)
set(_below_lowrank analysis model surgery lora names stream core kernels format)
set(_below_model stream core kernels format)
set(_below_tokenizer core format)
set(_below_evaluate tokenizer model stream core kernels format)
set(_below_ablation evaluate tokenizer model surgery stream core kernels format)
set(_below_explore evaluate tokenizer model surgery stream core kernels format)
set(_below_report ablation evaluate tokenizer model analysis surgery stream core kernels format)
set(_below_serve evaluate tokenizer model core format)
set(_below_apps lora serve report explore ablation evaluate tokenizer model analysis surgery stream core kernels format)

# What stands between the brackets or quotes of every include of `file`.
function(includes_of file out)
  file(STRINGS ${file} _lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
  set(_found "")
  foreach(_line IN LISTS _lines)
    string(REGEX REPLACE "^[^<\"]*[<\"]([^>\"]+)[>\"].*$" "\\1" _header "${_line}")
    list(APPEND _found "${_header}")
  endforeach()
  set(${out} "${_found}" PARENT_SCOPE)
endfunction()

macro(complain text)
  list(APPEND _problems "${text}")
endmacro()

file(GLOB_RECURSE _sources RELATIVE ${SOURCE} ${SOURCE}/src/*.h ${SOURCE}/src/*.cpp ${SOURCE}/src/*.cu
     ${SOURCE}/include/*.h ${SOURCE}/apps/*.h ${SOURCE}/apps/*.cpp)
list(LENGTH _sources _count)
if(_count LESS 50)
  message(FATAL_ERROR "only ${_count} sources below ${SOURCE}: is this the project?")
endif()

foreach(_file IN LISTS _sources)
  includes_of(${SOURCE}/${_file} _headers)
  string(REGEX REPLACE "^(src/)?([a-z]+)/.*$" "\\2" _layer "${_file}")

  foreach(_header IN LISTS _headers)
    string(REGEX REPLACE "/.*$" "" _folder "${_header}")
    if(_file MATCHES "^include/")
      if(NOT _header MATCHES "^[a-z_]+$" AND NOT _header MATCHES "^(suture|ATen|torch|c10)/")
        complain("${_file} is public and includes ${_header}")
      endif()
    elseif(_header MATCHES "/" AND IS_DIRECTORY ${SOURCE}/src/${_folder} AND NOT _folder STREQUAL _layer)
      if(NOT _folder IN_LIST _below_${_layer})
        complain("${_file} includes ${_header}: ${_layer} may not know ${_folder}")
      endif()
    endif()
    if(_layer MATCHES "^(format|kernels)$" AND _header MATCHES "^(torch|ATen|c10|caffe2)/")
      complain("${_file} includes ${_header}: ${_layer} does without LibTorch")
    endif()
  endforeach()

  file(READ ${SOURCE}/${_file} _text)
  string(REGEX REPLACE "[^\n]" "" _newlines "${_text}")
  string(LENGTH "${_newlines}" _length)
  if(_length GREATER _max_lines)
    complain("${_file} has ${_length} lines; at most ${_max_lines}")
  endif()
endforeach()

file(GLOB_RECURSE _library RELATIVE ${SOURCE} ${SOURCE}/src/*.h ${SOURCE}/src/*.cpp ${SOURCE}/src/*.cu
     ${SOURCE}/include/*.h)
foreach(_file IN LISTS _library)
  # Comments may speak of anything.
  file(STRINGS ${SOURCE}/${_file} _calls
       REGEX "(std::c(out|err|log)|[^a-z_](f?printf|f?puts|putchar|abort|exit|_exit|quick_exit|terminate|assert) *\\()")
  foreach(_line IN LISTS _calls)
    string(REGEX REPLACE "//.*$" "" _code "${_line}")
    if(_code MATCHES "std::c(out|err|log)|(^|[^a-z_])(f?printf|f?puts|putchar|abort|exit|_exit|quick_exit|terminate|assert) *\\(")
      complain("${_file} prints or ends the process: ${_code}")
    endif()
  endforeach()
endforeach()

if(_problems)
  list(JOIN _problems "\n  " _text)
  message(FATAL_ERROR "the layout's rules are broken:\n  ${_text}")
endif()
