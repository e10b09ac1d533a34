#pragma once

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/ioctl.h>
#include <system_error>
#include <termios.h>
#include <unistd.h>

#include "support/run_program.h"

namespace suture::test {

/// Runs the program to its end with a terminal of `columns` as its stdout, which changes nothing of
/// what is written.
inline Outcome run_on_terminal(Invocation invocation, unsigned short columns) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0)
    throw std::system_error(errno, std::generic_category(), "posix_openpt");
  const int end = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (end < 0) throw std::system_error(errno, std::generic_category(), "ptsname");
  termios settings{};
  ::tcgetattr(end, &settings);
  ::cfmakeraw(&settings);
  ::tcsetattr(end, TCSANOW, &settings);
  winsize size{};
  size.ws_col = columns;
  size.ws_row = 24;
  ::ioctl(end, TIOCSWINSZ, &size);

  invocation.stdout_descriptor = end;
  RunningProgram program(invocation);
  // Reading ends once nobody has the other end open.
  ::close(end);
  std::string shown;
  char buffer[4096];
  for (ssize_t count; (count = ::read(terminal, buffer, sizeof buffer)) > 0;)
    shown.append(buffer, static_cast<std::size_t>(count));
  ::close(terminal);
  Outcome outcome = program.wait();
  outcome.out = shown;
  return outcome;
}

}  // namespace suture::test
