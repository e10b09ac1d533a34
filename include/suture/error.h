#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace suture {

/// One fault, told so that a reader can act on it. Every part may be empty except `found`.
struct Fault {
  std::string file;      ///< Path or model argument the fault was found in.
  std::string tensor;    ///< Name of the tensor concerned, raw bytes; escaped when shown.
  std::string found;     ///< What is there.
  std::string expected;  ///< What should be there.
  std::string remedy;    ///< What the user can do about it.
};

/// The fault on one line: `FILE: tensor 'NAME': FOUND; expected EXPECTED; REMEDY`. Control
/// characters and direction marks in any part are escaped, so that a hostile name cannot forge
/// terminal output.
std::string to_line(const Fault& fault);

/// Text made safe for a terminal: control characters, invalid UTF-8 and direction marks become
/// `\xNN` or `\u{NNNN}`; everything else is kept. Texts over 200 bytes are shortened in the middle.
std::string printable(std::string_view text);

/// Base of everything the library throws on purpose. `what()` is one printable line.
class Error : public std::runtime_error {
 public:
  /// `what()` becomes `to_line(fault)`.
  explicit Error(const Fault& fault) : std::runtime_error(to_line(fault)) {}
};

/// A file's content breaks the rules of its format, or is damaged.
class FormatError : public Error {
 public:
  using Error::Error;
};

/// The operating system refused a read, a write or a rename.
class IoError : public Error {
 public:
  using Error::Error;
};

/// An argument or option has no usable meaning.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// The models are readable but not fit for the operation asked for (see compatibility.h).
class CompatibilityError : public Error {
 public:
  using Error::Error;
};

/// An accelerator refused work, or failed at it.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// The caller's cancellation was seen; everything half-written has been removed.
class Interrupted : public Error {
 public:
  /// `what()` says that nothing is left half-written.
  Interrupted() : Error(Fault{{}, {}, "interrupted: nothing is left half-written", {}, {}}) {}
};

}  // namespace suture
