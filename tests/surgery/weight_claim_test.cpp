#include "surgery/weight_claim.h"

#include <gtest/gtest.h>

namespace suture {
namespace {

TEST(WeightClaim, IsTakenForOthersUntilItEnds) {
  const int a = 0, b = 0;
  WeightClaim mine;
  {
    WeightClaim first;
    first.replace({&a});
    EXPECT_FALSE(first.is_taken(&a));
    EXPECT_TRUE(mine.is_taken(&a));
    mine.replace({&a, &b});  // what is taken stays the first one's
    EXPECT_TRUE(mine.is_taken(&a));
    EXPECT_TRUE(first.is_taken(&b));
    first.replace({});
    EXPECT_FALSE(mine.is_taken(&a));
    first.replace({&a});
  }
  EXPECT_FALSE(mine.is_taken(&a));
}

}  // namespace
}  // namespace suture
