# Install tree and the package that find_package(suture) finds in it. An export set for each component, so
# that suture::format can be used where there is no LibTorch. No file of the package names the place that
# it was installed to, or built at.

include(CMakePackageConfigHelpers)

set(_suture_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/suture)

# Installs library `target`, to be imported by SET_targets.cmake.
function(_suture_install target set)
  install(TARGETS ${target} EXPORT ${set}_targets)
  install(EXPORT ${set}_targets NAMESPACE suture:: DESTINATION ${_suture_package_dir})
endfunction()

_suture_install(suture_format suture_format)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/suture DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# For builds without CMake. Paths go from the folder of the file, so that the tree may be moved.
file(RELATIVE_PATH SUTURE_PC_LIBDIR ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH SUTURE_PC_INCLUDEDIR ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(${PROJECT_SOURCE_DIR}/cmake/suture-format.pc.in ${PROJECT_BINARY_DIR}/suture-format.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/suture-format.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(SUTURE_WITH_LIBTORCH)
  _suture_install(suture suture)
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/FindLibTorch.cmake ${PROJECT_SOURCE_DIR}/cmake/FindPCRE2.cmake
                ${PROJECT_SOURCE_DIR}/cmake/Findutf8proc.cmake
          DESTINATION ${_suture_package_dir})
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" SUTURE_LIBTORCH_VERSION "${LibTorch_VERSION}")
endif()
if(TARGET suture_cuda)
  _suture_install(suture_cuda suture_cuda)
endif()
if(TARGET suture_program)
  install(TARGETS suture_program)
  install(TARGETS suture_model_program RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/suture)
endif()

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/suture-config.cmake.in ${PROJECT_BINARY_DIR}/suture-config.cmake
  INSTALL_DESTINATION ${_suture_package_dir}
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/suture-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/suture-config.cmake ${PROJECT_BINARY_DIR}/suture-config-version.cmake
        DESTINATION ${_suture_package_dir})
