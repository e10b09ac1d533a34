# Public declarations carry their contract: of the functions, classes and enumerations in the public parts of
# include/suture, at least 95 % stand directly below a comment. Overloads count one by one.
#
# cmake -DSOURCE=<project> -P documented_test.cmake

cmake_minimum_required(VERSION 3.25)
set(_least_percent 95)
set(_total 0)
set(_undocumented "")

# A function, or the head of a type; not what stands in a body or continues a line before.
set(_declaration "^((class|struct|enum class) [A-Za-z_]+.*{|[A-Za-z_:<>, *&]+[ *&](operator.+|[A-Za-z_]+)[(].*)$")
set(_statement "^(if|for|while|switch|return|else|using|throw|delete|new|case|static_assert|typedef|do)[^a-z_]")

file(GLOB _headers RELATIVE ${SOURCE} ${SOURCE}/include/suture/*.h)
foreach(_file IN LISTS _headers)
  file(READ ${SOURCE}/${_file} _text)
  # What would end or join the elements of a list.
  string(REPLACE "[" "<" _text "${_text}")
  string(REPLACE "]" ">" _text "${_text}")
  string(REPLACE ";" "$" _text "${_text}")
  string(REPLACE "\n" ";" _lines "${_text}")

  set(_private FALSE)
  set(_before "")
  foreach(_line IN LISTS _lines)
    string(STRIP "${_line}" _code)
    if(_code MATCHES "^(private|protected):")
      set(_private TRUE)
    elseif(_code MATCHES "^public:" OR _line MATCHES "^}")
      set(_private FALSE)
    elseif(NOT _private AND _code MATCHES "${_declaration}" AND NOT _code MATCHES "${_statement}" AND NOT _code MATCHES
                                                                                  "= (default|delete)\\$$")
      if(_before MATCHES "^//")
        math(EXPR _total "${_total} + 1")
      elseif(_before STREQUAL "" OR _before MATCHES "[$}{:]$")
        math(EXPR _total "${_total} + 1")
        list(APPEND _undocumented "${_file}: ${_code}")
      endif()
    endif()
    if(NOT _code MATCHES "^(template|#)")
      set(_before "${_code}")
    endif()
  endforeach()
endforeach()

if(_total LESS 100)
  message(FATAL_ERROR "only ${_total} declarations below ${SOURCE}: is this the project?")
endif()
list(LENGTH _undocumented _count)
math(EXPR _percent "100 * (${_total} - ${_count}) / ${_total}")
list(JOIN _undocumented "\n  " _text)
message("${_percent} % of ${_total} public declarations are documented; not:\n  ${_text}")
if(_percent LESS _least_percent)
  message(FATAL_ERROR "at least ${_least_percent} % should be")
endif()
