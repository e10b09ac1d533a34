# Puts the page's files into a C++ source, each as one raw string.
#
# cmake -DOUT=<source> -DFOLDER=<folder> -DTEMPLATE=<file> -DSTYLES=<file,...> -DSCRIPTS=<file,...> -P EmbedPage.cmake

cmake_minimum_required(VERSION 3.25)

# The files as a list of string literals. Brackets and semicolons mean something to CMake's lists: none are made.
function(literals_of out)
  set(_text "")
  foreach(_file IN LISTS ARGN)
    file(READ "${FOLDER}/${_file}" _content)
    string(FIND "${_content}" ")suture\"" _end)
    if(NOT _end EQUAL -1)
      message(FATAL_ERROR "${_file} holds what ends a string literal")
    endif()
    string(APPEND _text "    R\"suture(${_content})suture\",\n")
  endforeach()
  set(${out} "${_text}" PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" STYLES "${STYLES}")
string(REPLACE "," ";" SCRIPTS "${SCRIPTS}")
literals_of(_template ${TEMPLATE})
literals_of(_styles ${STYLES})
literals_of(_scripts ${SCRIPTS})
file(WRITE "${OUT}" "// Made by cmake/EmbedPage.cmake from src/report/page.

#include \"report/page_content.h\"

namespace suture::report {

const std::vector<const char*>& page_template() {
  static const std::vector<const char*> parts{
${_template}  };
  return parts;
}

const std::vector<const char*>& page_styles() {
  static const std::vector<const char*> parts{
${_styles}  };
  return parts;
}

const std::vector<const char*>& page_scripts() {
  static const std::vector<const char*> parts{
${_scripts}  };
  return parts;
}

}  // namespace suture::report
")
