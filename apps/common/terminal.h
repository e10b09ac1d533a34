#pragma once

#include <string>

#include "common/arguments.h"
#include "report/text.h"

namespace suture::apps {

/// Writes data to stdout. Throws IoError when it cannot be written (a closed pipe, a full disk).
void write_stdout(const std::string& text);

/// Writes talk to stderr; failures there are nobody's business.
void say(const std::string& text);

/// Writes a result to a file, or to stdout for `-`. An existing file is replaced only if it ends in
/// `extension`, as a result of this kind does.
void write_result(const std::string& destination, const std::string& extension,
                  const std::string& text);

/// Throws UsageError when --json, --csv or --html names a place where write_result would fail, or
/// one of the inputs: to be told before the work.
void refuse_unwritable_reports(const Arguments& arguments);

/// What there is to tell how many colours stdout can show.
struct ColourSigns {
  bool is_terminal = false;
  std::string term, colorterm, no_color;  ///< Environment variables; empty where there are none.
};

/// Unless `choice` decides: none without a terminal, with NO_COLOR, or where TERM is `dumb` or
/// missing; else as many as COLORTERM and TERM tell, at least 16. Always has 256 where TERM tells
/// nothing.
report::ColourDepth colour_depth(ColourChoice choice, const ColourSigns& signs);

/// What stdout can show: UTF-8 by locale, the width of the terminal or 80, its colours.
report::TextStyle text_style(const Arguments& arguments);

/// Progress on stderr when it is a terminal, notes in any case, and cancellation by SIGINT and
/// SIGTERM.
RunOptions with_terminal(const Arguments& arguments);

/// The signal that cancelled the run, or 0.
int cancelling_signal();

/// Opens stand-ins for standard streams that are closed, so that no file gets their number and what
/// is said lands in it. To be called first.
void reserve_standard_streams();

/// Catches SIGINT and SIGTERM, and ignores SIGPIPE. A second signal ends the program at once.
void install_signal_handlers();

}  // namespace suture::apps
