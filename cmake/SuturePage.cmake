# The page that reports are shown on: its files become a source of the library, in the order given here.

set(_folder ${PROJECT_SOURCE_DIR}/src/report/page)
set(_template page.html)
set(_styles page.css figures.css explore.css)
set(_scripts
  dom.js format.js colour.js selection_text.js data.js measures.js ablation.js address.js store.js
  tooltip.js export.js panel.js axes.js heatmap.js heatmap_input.js effects.js effect_size.js
  profile.js compare.js histogram.js heads.js spectrum.js details.js table.js provenance.js toolbar.js
  keys.js explore.js explore_answers.js main.js)

list(TRANSFORM _styles PREPEND ${_folder}/ OUTPUT_VARIABLE _style_files)
list(TRANSFORM _scripts PREPEND ${_folder}/ OUTPUT_VARIABLE _script_files)
string(REPLACE ";" "," _styles "${_styles}")
string(REPLACE ";" "," _scripts "${_scripts}")
set(_content ${PROJECT_BINARY_DIR}/page_content.cpp)
add_custom_command(
  OUTPUT ${_content}
  COMMAND ${CMAKE_COMMAND} -DOUT=${_content} -DFOLDER=${_folder} -DTEMPLATE=${_template} -DSTYLES=${_styles}
          -DSCRIPTS=${_scripts} -P ${PROJECT_SOURCE_DIR}/cmake/EmbedPage.cmake
  DEPENDS ${_folder}/${_template} ${_style_files} ${_script_files} ${PROJECT_SOURCE_DIR}/cmake/EmbedPage.cmake
  VERBATIM)
target_sources(suture PRIVATE ${_content})
