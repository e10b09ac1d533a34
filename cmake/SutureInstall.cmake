# Install tree and the package that find_package(suture) finds in it. Two export sets, so that
# suture::format can be used where there is no LibTorch.

include(CMakePackageConfigHelpers)

set(_suture_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/suture)

install(TARGETS suture_format EXPORT suture_format_targets)
install(EXPORT suture_format_targets NAMESPACE suture:: DESTINATION ${_suture_package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/suture DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

if(SUTURE_WITH_LIBTORCH)
  install(TARGETS suture EXPORT suture_targets)
  install(EXPORT suture_targets NAMESPACE suture:: DESTINATION ${_suture_package_dir})
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/FindLibTorch.cmake ${PROJECT_SOURCE_DIR}/cmake/FindPCRE2.cmake
                ${PROJECT_SOURCE_DIR}/cmake/Findutf8proc.cmake
          DESTINATION ${_suture_package_dir})
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" SUTURE_LIBTORCH_VERSION "${LibTorch_VERSION}")
endif()
if(TARGET suture_cuda)
  install(TARGETS suture_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET suture_program)
  install(TARGETS suture_program)
  install(TARGETS suture_model_program RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/suture)
endif()

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/suture-config.cmake.in ${PROJECT_BINARY_DIR}/suture-config.cmake
  INSTALL_DESTINATION ${_suture_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/suture-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/suture-config.cmake ${PROJECT_BINARY_DIR}/suture-config-version.cmake
        DESTINATION ${_suture_package_dir})
