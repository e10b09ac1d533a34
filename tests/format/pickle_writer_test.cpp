#include "format/pickle_writer.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "format/pickle.h"

namespace suture::format {
namespace {

using namespace std::string_literals;

std::string integer(std::int64_t value) {
  PickleWriter pickle;
  pickle.add_integer(value);
  return pickle.finish().substr(2);
}

// What Python's pickle.dumps(value, 2) gives, without the protocol.
TEST(PickleWriter, WritesIntegersAsPythonDoes) {
  EXPECT_EQ(integer(0), "K\0."s);
  EXPECT_EQ(integer(255), "K\xff."s);
  EXPECT_EQ(integer(256), "M\0\x01."s);
  EXPECT_EQ(integer(65535), "M\xff\xff."s);
  EXPECT_EQ(integer(65536), "J\0\0\x01\0."s);
  EXPECT_EQ(integer(-1), "J\xff\xff\xff\xff."s);
  EXPECT_EQ(integer(2147483647), "J\xff\xff\xff\x7f."s);
  EXPECT_EQ(integer(2147483648), "\x8a\x05\0\0\0\x80\0."s);
  EXPECT_EQ(integer(4294967295), "\x8a\x05\xff\xff\xff\xff\0."s);
  EXPECT_EQ(integer(549755813888), "\x8a\x06\0\0\0\0\x80\0."s);
  EXPECT_EQ(integer(-2147483649), "\x8a\x05\xff\xff\xff\x7f\xff."s);
}

TEST(PickleWriter, WritesIntegersThatAreReadBack) {
  std::vector<std::int64_t> values{std::numeric_limits<std::int64_t>::min(),
                                   std::numeric_limits<std::int64_t>::max()};
  for (int shift = 0; shift < 63; ++shift) {
    for (const int step : {-1, 0, 1}) {
      values.push_back((std::int64_t{1} << shift) + step);
      values.push_back(-(std::int64_t{1} << shift) + step);
    }
  }
  for (const std::int64_t value : values) {
    PickleWriter pickle;
    pickle.add_integer(value);
    const Pickle read = parse_pickle(pickle.finish(), "test");
    EXPECT_EQ(read.integer(read.root()), value);
  }
}

TEST(PickleWriter, WritesTuplesAsPythonDoes) {
  const auto tuple = [](const std::vector<std::int64_t>& values) {
    PickleWriter pickle;
    pickle.add_integers(values);
    return pickle.finish().substr(2);
  };
  EXPECT_EQ(tuple({}), ").");
  EXPECT_EQ(tuple({1}), "K\x01\x85q\0."s);
  EXPECT_EQ(tuple({1, 2}), "K\x01K\x02\x86q\0."s);
  EXPECT_EQ(tuple({1, 2, 3}), "K\x01K\x02K\x03\x87q\0."s);
  EXPECT_EQ(tuple({1, 2, 3, 4}), "(K\x01K\x02K\x03K\x04tq\0."s);
}

TEST(PickleWriter, RecallsTextsAndGlobals) {
  PickleWriter pickle;
  pickle.begin_group();
  for (int i = 0; i < 2; ++i) {
    pickle.add_text("cNN");  // A text is no global, whatever it looks like.
    pickle.add_global("N", "N");
  }
  pickle.end_tuple();
  EXPECT_EQ(pickle.finish(), "\x80\x02(X\x03\0\0\0cNNq\0cN\nN\nq\x01h\0h\x01tq\x02."s);
}

TEST(PickleWriter, NumbersBeyondAByte) {
  PickleWriter pickle;
  pickle.begin_group();
  for (int i = 0; i < 300; ++i) pickle.add_text("t" + std::to_string(i));
  pickle.add_text("t299");
  pickle.end_tuple();
  const std::string bytes = pickle.finish();
  EXPECT_NE(bytes.find("X\x04\0\0\0t255q\xff"s), std::string::npos);
  EXPECT_NE(bytes.find("X\x04\0\0\0t256r\0\x01\0\0"s), std::string::npos);
  EXPECT_NE(bytes.find("j\x2b\x01\0\0tr\x2c\x01\0\0."s), std::string::npos);
  const Pickle read = parse_pickle(bytes, "test");
  EXPECT_EQ(read.items(read.root()).size(), 301u);
  EXPECT_EQ(read.text(read.items(read.root()).back()), "t299");
}

TEST(PickleWriter, FillsDictionariesThatAreReadBack) {
  PickleWriter pickle;
  pickle.add_global("collections", "OrderedDict");
  pickle.add_empty_tuple();
  pickle.call();
  pickle.begin_group();
  for (const char* key : {"b", "a"}) {
    pickle.add_text(key);
    pickle.add_bool(*key == 'a');
  }
  pickle.end_items();
  pickle.add_text("nul\0 \xF0\x9F\x99\x82"s);
  pickle.add_integer(7);
  pickle.set_item();
  const Pickle read = parse_pickle(pickle.finish(), "test");
  auto cursor = read.entries(read.root());
  std::vector<std::string> keys;
  while (const auto entry = read.next(cursor)) keys.emplace_back(read.text(entry->key));
  EXPECT_EQ(keys, (std::vector<std::string>{"b", "a", "nul\0 \xF0\x9F\x99\x82"s}));
}

}  // namespace
}  // namespace suture::format
