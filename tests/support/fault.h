#pragma once

#include <filesystem>
#include <string>

#include "support/run_program.h"

namespace suture::test {

/// One system call of the program that is to go wrong; see fault_injection.c.
struct Fault {
  /// open, pread, pwrite, write, fsync, fdatasync, fallocate, rename, copy, close or mkdir.
  std::string call;
  std::string at;      ///< Which of those below the folder, from 1; several with commas.
  std::string action;  ///< short, stop, kill, int, term, or a number for errno.

  /// Makes `invocation` run with the fault in calls on what lies below `folder`.
  void into(Invocation& invocation, const std::filesystem::path& folder,
            const std::filesystem::path& mark = {}) const {
    auto& environment = invocation.environment;
    environment["LD_PRELOAD"] = FAULT_INJECTION;
    environment["ASAN_OPTIONS"] = "verify_asan_link_order=0";
    environment["SUTURE_FAULT_CALL"] = call;
    environment["SUTURE_FAULT_AT"] = at;
    environment["SUTURE_FAULT_ACTION"] = action;
    environment["SUTURE_FAULT_UNDER"] = std::filesystem::canonical(folder).string();
    if (!mark.empty()) environment["SUTURE_FAULT_MARK"] = mark.string();
  }
};

}  // namespace suture::test
