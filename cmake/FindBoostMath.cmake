# Finds Boost.Math, headers alone: no library to link, so no symbol to clash. FindBoost would tell no more, and
# newer CMakes no longer have it.

find_path(BoostMath_INCLUDE_DIR boost/math/distributions/non_central_t.hpp)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BoostMath REQUIRED_VARS BoostMath_INCLUDE_DIR)
if(BoostMath_FOUND AND NOT TARGET BoostMath::BoostMath)
  add_library(BoostMath::BoostMath INTERFACE IMPORTED)
  target_include_directories(BoostMath::BoostMath SYSTEM INTERFACE "${BoostMath_INCLUDE_DIR}")
endif()
mark_as_advanced(BoostMath_INCLUDE_DIR)
