// Colours: who gets them, and that nobody else does.

#include "common/terminal.h"

#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/model_family.h"
#include "support/pseudo_terminal.h"
#include "support/thrown.h"

namespace suture {
namespace {

using apps::colour_depth;
using apps::ColourChoice;
using apps::ColourSigns;
using report::ColourDepth;
using test::ended_with;
using test::holds;
using test::Invocation;
using test::Outcome;

constexpr auto kAuto = ColourChoice::kAuto, kAlways = ColourChoice::kAlways,
               kNever = ColourChoice::kNever;

TEST(ColourDepth, OfATerminalIsWhatItTells) {
  EXPECT_EQ(colour_depth(kAuto, {true, "xterm", "", ""}), ColourDepth::k16);
  EXPECT_EQ(colour_depth(kAuto, {true, "xterm-256color", "", ""}), ColourDepth::k256);
  EXPECT_EQ(colour_depth(kAuto, {true, "xterm-256color", "truecolor", ""}), ColourDepth::kTrue);
  EXPECT_EQ(colour_depth(kAuto, {true, "xterm", "24bit", ""}), ColourDepth::kTrue);
  EXPECT_EQ(colour_depth(kAuto, {true, "xterm-256color", "yes", ""}), ColourDepth::k256);
}

TEST(ColourDepth, IsNoneWhereNoneAreWanted) {
  const ColourSigns best{true, "xterm-256color", "truecolor", ""};
  ColourSigns piped = best, refused = best, dumb = best, nameless = best;
  piped.is_terminal = false;
  refused.no_color = "0";  // any text counts
  dumb.term = "dumb";
  nameless.term = "";
  for (const ColourSigns& signs : {piped, refused, dumb, nameless}) {
    EXPECT_EQ(colour_depth(kAuto, signs), ColourDepth::kNone);
    EXPECT_EQ(colour_depth(kAlways, signs), ColourDepth::kTrue);
  }
  EXPECT_EQ(colour_depth(kNever, best), ColourDepth::kNone);
}

TEST(ColourDepth, IsWhatMostShowWhereAlwaysKnowsNothing) {
  EXPECT_EQ(colour_depth(kAlways, {false, "", "", ""}), ColourDepth::k256);
  EXPECT_EQ(colour_depth(kAlways, {false, "dumb", "", ""}), ColourDepth::k256);
  EXPECT_EQ(colour_depth(kAlways, {false, "linux", "", ""}), ColourDepth::k16);
}

class Terminal : public test::ModelFamily {
 protected:
  Terminal() { make_vector(); }

  Invocation analysis(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{"analyze", "v.safetensors"};
    words.insert(words.end(), more.begin(), more.end());
    Invocation made = invocation(words);
    made.environment = {{"LC_ALL", "C.UTF-8"}, {"TERM", "xterm-256color"}};
    made.unset = {"NO_COLOR", "COLORTERM"};
    return made;
  }
};

bool has_escape(const Outcome& outcome) { return outcome.out.find('\x1b') != std::string::npos; }

TEST_F(Terminal, IsDrawnOnInColours) {
  Invocation call = analysis();
  Outcome outcome = run_on_terminal(call, 100);
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.out, "▀"));
  EXPECT_TRUE(holds(outcome.out, "\x1b[38;5;"));
  call.environment["COLORTERM"] = "truecolor";
  EXPECT_TRUE(holds(run_on_terminal(call, 100).out, "\x1b[38;2;"));
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);)
    EXPECT_TRUE(line.find('\x1b') == std::string::npos || report::columns_of(line) <= 100) << line;
}

TEST_F(Terminal, IsDrawnOnWithoutColoursWhereNoneAreWanted) {
  Invocation refused = analysis(), empty = analysis(), dumb = analysis();
  refused.environment["NO_COLOR"] = "1";
  empty.environment["NO_COLOR"] = "";
  dumb.environment["TERM"] = "dumb";
  EXPECT_FALSE(has_escape(run_on_terminal(refused, 80)));
  EXPECT_TRUE(has_escape(run_on_terminal(empty, 80)));
  EXPECT_FALSE(has_escape(run_on_terminal(dumb, 80)));
  EXPECT_FALSE(has_escape(run_on_terminal(analysis({"--color", "never"}), 80)));
}

TEST_F(Terminal, IsNoPipeAndNoFile) {
  Invocation call = analysis();
  call.environment["COLORTERM"] = "truecolor";
  const Outcome piped = run_program(call);
  ASSERT_TRUE(ended_with(piped, 0));
  EXPECT_FALSE(has_escape(piped));
  EXPECT_TRUE(holds(piped.out, "by layer and module"));
  EXPECT_TRUE(has_escape(run_program(analysis({"--color", "always"}))));
  EXPECT_FALSE(has_escape(run_program(analysis({"--color", "always", "--json", "-"}))));
}

TEST_F(Terminal, IsAskedForInThreeWords) {
  EXPECT_TRUE(refuses({"analyze", "v.safetensors", "--color", "allways"}, "did you mean 'always'"));
  EXPECT_TRUE(refuses({"analyze", "v.safetensors", "--color", "red"}, "auto, always, never"));
}

}  // namespace
}  // namespace suture
