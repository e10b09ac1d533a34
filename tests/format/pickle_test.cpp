#include "format/pickle.h"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/torch_archive_builder.h"

namespace suture::format {
namespace {

using namespace test::pickled;
using test::little_endian;

Pickle parse(const std::string& value, int protocol = 2) {
  return parse_pickle(document(value, protocol), "file.pt");
}

std::string refusal_of_bytes(const std::string& bytes) {
  try {
    parse_pickle(bytes, "file.pt");
    return "accepted";
  } catch (const FormatError& error) {
    return error.what();
  }
}

void expect_refused(const std::string& value, const std::string& part) {
  const std::string line = refusal_of_bytes(document(value));
  EXPECT_NE(line.find(part), std::string::npos) << line;
  EXPECT_EQ(line.find("file.pt: "), 0u) << line;
}

std::string repeated(const std::string& piece, std::size_t times) {
  std::string out;
  out.reserve(piece.size() * times);
  while (times-- > 0) out += piece;
  return out;
}

std::int64_t integer_of(const std::string& value) {
  const Pickle pickle = parse(value);
  EXPECT_EQ(pickle.kind(pickle.root()), PickleKind::kInt);
  return pickle.integer(pickle.root());
}

// ---- What is understood -------------------------------------------------------------------------

TEST(PickleValues, ReadsIntegersOfEveryWidth) {
  EXPECT_EQ(integer_of("K\xFF"), 255);
  EXPECT_EQ(integer_of("M\xFF\xFF"), 65535);
  EXPECT_EQ(integer_of("J" + little_endian(0xFFFFFFFE, 4)), -2);
  EXPECT_EQ(integer_of("J" + little_endian(0x7FFFFFFF, 4)), 2147483647);
  EXPECT_EQ(integer_of(std::string("\x8a\x00", 2)), 0);
  EXPECT_EQ(integer_of("\x8a\x01\xFF"), -1);
  EXPECT_EQ(integer_of("\x8a\x05" + little_endian(1ull << 32, 5)), 1ll << 32);
  EXPECT_EQ(integer_of("\x8a\x05" + little_endian(0xFF00000000, 5)), -(1ll << 32));
  EXPECT_EQ(integer_of("\x8a\x08" + little_endian(1ull << 63, 8)), INT64_MIN);
}

TEST(PickleValues, PassesOverIntegersBeyond64Bits) {
  const Pickle pickle = parse("\x8a\x09" + little_endian(0, 8) + "\x01");
  EXPECT_EQ(pickle.kind(pickle.root()), PickleKind::kOther);
}

TEST(PickleValues, PassesOverFloatsNoneBytesAndLists) {
  for (const std::string& value :
       {"G" + std::string(8, '\0'), kNone, "C\x02xy" + std::string(),
        "B" + little_endian(2, 4) + "xy", list({integer(1), text("a")}), "]" + integer(1) + "a"}) {
    const Pickle pickle = parse(value);
    EXPECT_EQ(pickle.kind(pickle.root()), PickleKind::kOther);
  }
}

TEST(PickleValues, ReadsTextTuplesAndBools) {
  const Pickle pickle =
      parse(tuple({text("long"), "\x8c\x05short", kTrue + "\x85", ")", kTrue + kFalse + "\x86"}));
  const auto items = pickle.items(pickle.root());
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(pickle.text(items[0]), "long");
  EXPECT_EQ(pickle.text(items[1]), "short");
  EXPECT_TRUE(pickle.is_true(pickle.items(items[2])[0]));
  EXPECT_TRUE(pickle.items(items[3]).empty());
  EXPECT_FALSE(pickle.is_true(pickle.items(items[4])[1]));
}

TEST(PickleValues, ReadsDictsThatGrowInSteps) {
  const Pickle pickle = parse(dict({{"a", kNone}, {"b", kNone}}) + "(u" + text("c") + kNone + "s" +
                              entries({{"d", kNone}}));
  auto cursor = pickle.entries(pickle.root());
  std::string keys;
  while (const auto entry = pickle.next(cursor)) keys += pickle.text(entry->key);
  EXPECT_EQ(keys, "abcd");
}

TEST(PickleValues, TakesOrderedDictForADict) {
  const Pickle pickle = parse(ordered_dict({{"a", kNone}}));
  EXPECT_EQ(pickle.kind(pickle.root()), PickleKind::kDict);
}

TEST(PickleValues, DropsAttributesOfAStateDict) {
  const Pickle pickle = parse(ordered_dict({{"a", kNone}}) + dict({{"_metadata", dict({})}}) + "b");
  auto cursor = pickle.entries(pickle.root());
  EXPECT_EQ(pickle.text(pickle.next(cursor)->key), "a");
  EXPECT_FALSE(pickle.next(cursor));
}

TEST(PickleValues, RecallsRememberedValues) {
  const Pickle pickle = parse(tuple({text("a") + std::string("q\x00", 2),
                                     "\x8c\x01"
                                     "b\x94",
                                     std::string("h\x00", 2), "j" + little_endian(1, 4),
                                     text("c") + "r" + little_endian(2, 4), "h\x02"}));
  const auto items = pickle.items(pickle.root());
  EXPECT_EQ(pickle.text(items[2]), "a");
  EXPECT_EQ(pickle.text(items[3]), "b");
  EXPECT_EQ(pickle.text(items[5]), "c");
}

TEST(PickleValues, KeepsCallsAndReferencesUncalled) {
  const Pickle pickle = parse(four_floats());
  ASSERT_EQ(pickle.kind(pickle.root()), PickleKind::kCall);
  EXPECT_EQ(pickle.known(pickle.callable(pickle.root()))->role, GlobalRole::kRebuildTensor);
  EXPECT_EQ(pickle.global_name(pickle.callable(pickle.root())), "torch._utils._rebuild_tensor_v2");
  const auto arguments = pickle.items(pickle.arguments(pickle.root()));
  ASSERT_EQ(pickle.kind(arguments[0]), PickleKind::kPersistent);
  EXPECT_EQ(pickle.items(pickle.persistent_id(arguments[0])).size(), 5u);
}

TEST(PickleProtocol, AcceptsTwoToFive) {
  for (int protocol = 2; protocol <= 5; ++protocol) EXPECT_NO_THROW(parse(kNone, protocol));
}

TEST(PickleProtocol, AcceptsFramesAndGlobalsOnTheStack) {
  const std::string body = text("torch") + text("float32") + "\x93.";
  const Pickle pickle =
      parse_pickle("\x80\x04\x95" + little_endian(body.size(), 8) + body, "file.pt");
  EXPECT_EQ(pickle.known(pickle.root())->dtype, Dtype::kF32);
}

TEST(PickleProtocol, RefusesZeroAndOne) {
  EXPECT_NE(refusal_of_bytes("(lp0\n.").find("pickle protocol 0 or 1"), std::string::npos);
  EXPECT_NE(
      refusal_of_bytes(document(kNone, 1)).find("pickle protocol 1; expected protocol 2 to 5"),
      std::string::npos);
  EXPECT_NE(refusal_of_bytes(document(kNone, 6)).find("pickle protocol 6"), std::string::npos);
}

TEST(PickleProtocol, RefusesFrameLongerThanThePickle) {
  expect_refused("\x95" + little_endian(~0ull, 8) + kNone, "frame longer than itself");
}

// ---- Globals and calls --------------------------------------------------------------------------

TEST(PickleGlobals, ReportsTheFirstUnknown) {
  const Pickle pickle = parse(
      tuple({global("torch", "float32"), call(global("posix", "system"), {text("touch PWNED")}),
             global("os", "remove")}));
  ASSERT_TRUE(pickle.first_unknown());
  EXPECT_EQ(pickle.global_name(*pickle.first_unknown()), "posix.system");
  EXPECT_FALSE(parse(four_floats()).first_unknown());
}

TEST(PickleGlobals, BlamesOddityOnTheUnknownGlobalBeforeIt) {
  expect_refused(global("os", "system") + ")\x81", "refers to os.system");
}

TEST(PickleGlobals, DoesNotMistakeAnotherModule) {
  EXPECT_TRUE(parse(global("evil", "FloatStorage")).first_unknown());
  EXPECT_TRUE(parse(global("torch.FloatStorage", "")).first_unknown());
}

TEST(PickleGlobals, ShortensHostileNames) {
  const Pickle pickle = parse(global("a\x1b[31m", std::string(100'000, 'x')));
  const std::string name = pickle.global_name(*pickle.first_unknown());
  EXPECT_LT(name.size(), 400u);
  EXPECT_EQ(name.find('\x1b'), std::string::npos);
}

TEST(PickleGlobals, RefusesNameThatIsNoText) {
  expect_refused(text("torch") + kNone + "\x93", "whose name is no text");
}

TEST(PickleGlobals, RefusesUnfinishedName) {
  expect_refused("ctorch\nFloat", "ends in the middle of a name");
}

TEST(PickleCalls, RefusesCallOfWhatIsNoGlobal) {
  expect_refused(text("f") + ")R", "calls what is no function");
}

TEST(PickleCalls, RefusesArgumentsThatAreNoTuple) {
  expect_refused(global("torch", "Size") + kNone + "R", "without arguments");
}

TEST(PickleCalls, RefusesFilledOrderedDictCall) {
  expect_refused(call(global("collections", "OrderedDict"), {list({})}), "outdated way");
}

TEST(PickleCalls, RefusesAttributesOfATensor) {
  expect_refused(four_floats() + dict({}) + "b", "sets attributes of a value");
}

TEST(PickleCalls, RefusesAttributesThatAreNoDict) {
  expect_refused(ordered_dict({}) + kNone + "b", "from what is no dictionary");
}

TEST(PickleOpcodes, RefusesEveryOpcodeOutsideTheList) {
  const std::string allowed =
      ".(N\x88\x89JKM\x8aGX\x8c"
      "BC}])t\x85\x86\x87suaeqr\x94hjc\x93RbQ\x95";
  for (int opcode = 0; opcode < 256; ++opcode) {
    const char byte = static_cast<char>(opcode);
    if (allowed.find(byte) != std::string::npos) continue;
    expect_refused(std::string(1, byte) + std::string(64, '\n'), "which no state dict needs");
  }
}

// ---- Structure ----------------------------------------------------------------------------------

TEST(PickleStructure, RefusesStackUnderflow) {
  for (const char* value : {"s", "R", "b", "Q", "a", "\x85", "N\x86", "NN\x87", "\x93", "Ns"}) {
    expect_refused(value, "empty stack");
  }
  expect_refused(std::string("q\x00", 2), "empty stack");
}

TEST(PickleStructure, RefusesPopBelowTheMark) { expect_refused("NN(\x86", "empty stack"); }

TEST(PickleStructure, RefusesGroupWithoutMark) {
  for (const char* value : {"t", "Nt", "}u", "]e"}) expect_refused(value, "did not begin");
}

TEST(PickleStructure, RefusesMarkWithoutContainer) {
  expect_refused("(NNu", "empty stack");
  expect_refused("N(NNu", "what is no dictionary");
  expect_refused("N(Ne", "what is no list");
  expect_refused("}Na", "what is no list");
}

TEST(PickleStructure, RefusesKeyWithoutValue) {
  expect_refused("}(" + text("a") + kNone + text("b") + "u", "a key without a value");
}

TEST(PickleStructure, RefusesContainerAsKey) {
  expect_refused("}}Ns", "as a key");
  expect_refused("}]Ns", "as a key");
}

TEST(PickleStructure, RefusesMissingStop) {
  std::string bytes = document(kNone);
  bytes.pop_back();
  EXPECT_NE(refusal_of_bytes(bytes).find("in the middle of a value"), std::string::npos);
}

TEST(PickleStructure, RefusesEveryTruncation) {
  const std::string whole = document(ordered_dict({{"a", four_floats()}}));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refusal_of_bytes(whole.substr(0, size)), "accepted") << size;
  }
}

TEST(PickleStructure, RefusesBytesAfterStop) { expect_refused("N.N", "goes on after its end"); }

TEST(PickleStructure, RefusesLeftOverValues) {
  expect_refused("NN", "values left over");
  expect_refused("(N", "values left over");
  expect_refused("", "values left over");
}

TEST(PickleMemo, RefusesValueNeverRemembered) {
  expect_refused("h\x05", "did not remember");
  expect_refused("j" + little_endian(0xFFFFFFFF, 4), "did not remember");
  expect_refused("NNNq\x02h\x01", "did not remember");
}

TEST(PickleMemo, RefusesIndexBeyondTheOperationsRun) {
  expect_refused("Nr" + little_endian(60'000'000, 4), "out of sequence");
  expect_refused("Nr" + little_endian(0xFFFFFFFF, 4), "out of sequence");
}

// ---- Limits -------------------------------------------------------------------------------------

TEST(PickleLimits, RefusesTextLongerThanThePickle) {
  expect_refused("X" + little_endian(512u << 20, 4) + "abc", "in the middle of a value");
  expect_refused("X" + little_endian(0xFFFFFFFF, 4) + "abc", "in the middle of a value");
  expect_refused(
      "\x8c\xFF"
      "abc",
      "in the middle of a value");
  expect_refused("B" + little_endian(0x7FFFFFFF, 4) + "abc", "in the middle of a value");
  expect_refused(
      "\x8a\xFF"
      "abc",
      "in the middle of a value");
}

TEST(PickleLimits, AcceptsSixtyFourLevelsAndRefusesMore) {
  EXPECT_NO_THROW(parse(")" + repeated("\x85", 63)));
  expect_refused(")" + repeated("\x85", 64), "nests over 64 levels deep");
  expect_refused(")" + repeated("\x85", 300'000), "nests over 64 levels deep");
}

TEST(PickleLimits, RefusesDeepMarks) {
  EXPECT_NO_THROW(parse(repeated("(", 64) + repeated("t", 64)));
  expect_refused(repeated("(", 65), "nests over 64 levels deep");
}

TEST(PickleLimits, RefusesDeepDictsListsCallsAndReferences) {
  const std::string deep = ")" + repeated("\x85", 63);
  expect_refused("}" + text("k") + deep + "s", "nests over 64 levels deep");
  expect_refused("]" + deep + "a", "nests over 64 levels deep");
  expect_refused(global("torch", "Size") + deep + "R", "nests over 64 levels deep");
  expect_refused(deep + "Q", "nests over 64 levels deep");
}

TEST(PickleLimits, RefusesListThatHoldsItselfTooOften) {
  expect_refused("]" + std::string("q\x00", 2) +
                     repeated(std::string("h\x00"
                                          "a",
                                          3),
                              64),
                 "nests over 64 levels deep");
}

TEST(PickleLimits, RefusesMoreThanTenMillionOperations) {
  expect_refused(
      "N" + std::string("q\x00", 2) + repeated(std::string("q\x00", 2), kMaxPickleOpcodes),
      "over 10 million operations");
}

TEST(PickleLimits, RefusesMoreThanFourMillionValues) {
  const std::string put_away = repeated("Na", kMaxPickleValues - 1);
  EXPECT_NO_THROW(parse("]" + put_away));
  expect_refused("]" + put_away + "Na", "over 4 million values");
}

TEST(PickleLimits, RefusesMoreThanAMillionValuesOnTheStack) {
  EXPECT_NO_THROW(parse("(" + repeated("N", kMaxPickleStack) + "t"));
  expect_refused("(" + repeated("N", kMaxPickleStack + 1) + "t", "a million values waiting");
  // Recalled ones, too.
  expect_refused(
      "N" + std::string("q\x00(", 3) + repeated(std::string("h\x00", 2), kMaxPickleStack) + "t",
      "a million values waiting");
}

TEST(PickleLimits, RefusesMoreThan64MiB) {
  EXPECT_NE(refusal_of_bytes(std::string(kMaxPickleBytes + 1, 'N')).find("larger than 64 MiB"),
            std::string::npos);
}

}  // namespace
}  // namespace suture::format
