#include "surgery/plan.h"

#include <vector>

#include <gtest/gtest.h>

namespace suture {
namespace {

Segment whole_of(const TensorInfo& tensor) {
  Segment whole;
  whole.count = tensor.elements;
  whole.origin = &tensor;
  whole.terms.resize(1);
  whole.terms.front().minuend = &tensor;
  return whole;
}

TEST(SegmentsByRow, CoverTheTensorInOrder) {
  TensorInfo tensor;
  tensor.shape = {5, 2};
  tensor.elements = 10;
  const auto segments = segments_by_row(whole_of(tensor), 2, {{1, 2, {3}}});
  ASSERT_EQ(segments.size(), 3u);
  EXPECT_EQ(segments[0].count, 2u);
  EXPECT_TRUE(segments[0].terms.empty());
  EXPECT_EQ(segments[1].first, 2u);
  EXPECT_EQ(segments[1].count, 4u);
  EXPECT_EQ(segments[1].terms.at(0).minuend_shift, 6);
  EXPECT_EQ(segments[2].first, 6u);
  EXPECT_EQ(segments[2].count, 4u);
}

TEST(SegmentsByRow, OfRowsWithoutElementsAreOne) {
  TensorInfo tensor;
  tensor.shape = {5, 0};
  for (const std::vector<RowRun>& runs : {std::vector<RowRun>{}, {{1, 2, {3}}}}) {
    const auto segments = segments_by_row(whole_of(tensor), 0, runs);
    ASSERT_EQ(segments.size(), 1u);
    EXPECT_EQ(segments[0].first, 0u);
    EXPECT_EQ(segments[0].count, 0u);
  }
}

}  // namespace
}  // namespace suture
