#include "suture/error.h"

#include <string>

#include <gtest/gtest.h>

#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::is_one_plain_line;

TEST(Printable, KeepsOrdinaryText) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("model.layers.0.mlp"), "model.layers.0.mlp");
  EXPECT_EQ(printable("caf\u00E9 \u6A21\u578B \U0001F600"), "caf\u00E9 \u6A21\u578B \U0001F600");
}

TEST(Printable, EscapesControlCharacters) {
  EXPECT_EQ(printable("\x1B[31mred"), "\\x1B[31mred");
  EXPECT_EQ(printable("a\nb\rc\td"), "a\\x0Ab\\x0Dc\\x09d");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7F"), "\\x7F");
  EXPECT_EQ(printable("\u0085\u009B"), "\\u{0085}\\u{009B}");  // NEL and the one-character CSI
}

TEST(Printable, EscapesWhatHidesOrTurnsText) {
  EXPECT_EQ(printable("a\u202Eb"), "a\\u{202E}b");
  EXPECT_EQ(printable("\u200B\u200F\u2028\u2066\uFEFF"),
            "\\u{200B}\\u{200F}\\u{2028}\\u{2066}\\u{FEFF}");
  EXPECT_EQ(printable("\u061C"), "\\u{061C}");
}

TEST(Printable, KeepsTheNeighboursOfEscapedCharacters) {
  EXPECT_EQ(printable("\u00A0\u200A\u2010\u2027\u202F"), "\u00A0\u200A\u2010\u2027\u202F");
}

TEST(Printable, EscapesInvalidUtf8) {
  EXPECT_EQ(printable("a\xFFz"), "a\\xFFz");
  EXPECT_EQ(printable("\x80"), "\\x80");                             // a continuation alone
  EXPECT_EQ(printable("\xC3"), "\\xC3");                             // cut short
  EXPECT_EQ(printable("\xE2\x80"), "\\xE2\\x80");                    // cut short
  EXPECT_EQ(printable("\xC3z"), "\\xC3z");                           // no continuation follows
  EXPECT_EQ(printable("\xC0\xAF"), "\\xC0\\xAF");                    // overlong '/'
  EXPECT_EQ(printable("\xE0\x80\xAF"), "\\xE0\\x80\\xAF");           // overlong '/'
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xED\\xA0\\x80");           // a surrogate
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");  // over U+10FFFF
}

TEST(Printable, LeavesTextAloneTheSecondTime) {
  const std::string once = printable("\x1B\u202E\xFF ok");
  EXPECT_EQ(printable(once), once);
}

TEST(Printable, ShortensLongTextInTheMiddle) {
  EXPECT_EQ(printable(std::string(200, 'a')), std::string(200, 'a'));
  const std::string shown = printable("begin" + std::string(1'000'000, 'a') + "end");
  EXPECT_LT(shown.size(), 200u);
  EXPECT_EQ(shown.substr(0, 6), "begina");
  EXPECT_EQ(shown.substr(shown.size() - 4), "aend");
  EXPECT_TRUE(holds(shown, "...(1000008 bytes)..."));
}

TEST(Printable, ShortensBetweenCharacters) {
  for (std::size_t shift = 0; shift < 4; ++shift) {
    std::string text(shift, 'a');
    for (int i = 0; i < 200; ++i) text += "\U0001F600";
    const std::string shown = printable(text);
    EXPECT_LT(shown.size(), 200u);
    EXPECT_EQ(shown.find('\\'), std::string::npos) << shown;
  }
}

TEST(Printable, ShortensWhatIsNotUtf8) {
  EXPECT_LT(printable(std::string(10'000, '\x80')).size(), 1000u);
}

TEST(ToLine, PutsThePartsInOrder) {
  EXPECT_EQ(to_line({"f.safetensors", "w", "found", "wanted", "do this"}),
            "f.safetensors: tensor 'w': found; expected wanted; do this");
}

TEST(ToLine, LeavesOutEmptyParts) {
  EXPECT_EQ(to_line({{}, {}, "found", {}, {}}), "found");
  EXPECT_EQ(to_line({"f", {}, "found", {}, "do this"}), "f: found; do this");
  EXPECT_EQ(to_line({{}, "w", "found", "wanted", {}}), "tensor 'w': found; expected wanted");
}

TEST(ToLine, EscapesEveryPart) {
  const std::string hostile = "x\x1B[2J\n\u202E\xFF";
  const std::string line = to_line({hostile, hostile, hostile, hostile, hostile});
  EXPECT_TRUE(is_one_plain_line(line));
  const std::string escaped = "x\\x1B[2J\\x0A\\u{202E}\\xFF";
  EXPECT_EQ(line, escaped + ": tensor '" + escaped + "': " + escaped + "; expected " + escaped +
                      "; " + escaped);
}

TEST(ToLine, ShortensATensorsName) {
  const std::string line = to_line({"f", std::string(1'000'000, 'n'), "found", {}, {}});
  EXPECT_LT(line.size(), 300u);
  EXPECT_TRUE(holds(line, "(1000000 bytes)"));
}

TEST(Error, SaysItsLineAndIsCaughtAsItsBase) {
  const Fault fault{"f", {}, "found", {}, {}};
  EXPECT_EQ(test::thrown_by([&] { throw FormatError(fault); }), "f: found");
  EXPECT_EQ(test::thrown_by([&] { throw IoError(fault); }), "f: found");
  EXPECT_EQ(test::thrown_by([&] { throw UsageError(fault); }), "f: found");
  EXPECT_EQ(test::thrown_by([&] { throw CompatibilityError(fault); }), "f: found");
  EXPECT_TRUE(holds(test::thrown_by([] { throw Interrupted(); }), "interrupted"));
}

}  // namespace
}  // namespace suture
