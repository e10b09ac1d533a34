#include "report/csv_report.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/csv_rows.h"
#include "support/sample_analysis.h"

namespace suture::report {
namespace {

using test::csv_rows;

TEST(CsvReport, HasTheSameFieldsInEveryLine) {
  const auto rows = csv_rows(to_csv(test::sample_analysis()));
  for (const auto& row : rows) EXPECT_EQ(row.size(), 14u) << row[0] << " " << row[1];
  // A heading; eight parts with two vectors and one pair each.
  EXPECT_EQ(rows.size(), 1u + 8 * 3);
  EXPECT_EQ(rows[0][5], "norm");
}

TEST(CsvReport, WritesNumbersThatReadBack) {
  const auto rows = csv_rows(to_csv(test::sample_analysis()));
  EXPECT_EQ(rows[1], (std::vector<std::string>{"total", "total", "first", "", "1000", "2", "0.25",
                                               "0.5", "0.125", "0.25", "0", "", "", ""}));
  EXPECT_EQ(rows[2][6], "") << "no relative norm without a base";
  EXPECT_EQ(rows[2][10], "3");
  EXPECT_EQ(rows[3], (std::vector<std::string>{"total", "total", "first", "second", "200", "", "",
                                               "", "", "", "", "-0.75", "0.625", "0.5"}));
  Analysis third = test::sample_analysis();
  third.total.vectors[0].norm = 1.0 / 3;
  EXPECT_EQ(std::stod(csv_rows(to_csv(third))[1][5]), 1.0 / 3);
}

TEST(CsvReport, HostileNamesStayInTheirFieldAndAreNoFormula) {
  const auto rows = csv_rows(to_csv(test::sample_analysis()));
  const auto at = std::find_if(rows.begin(), rows.end(), [](const auto& row) {
    return row[0] == "tensor" && row[1].find("calc") != std::string::npos;
  });
  ASSERT_NE(at, rows.end());
  EXPECT_EQ((*at)[1], "'" + test::kHostileName);
}

TEST(CsvReport, NoFieldBeginsLikeAFormula) {
  for (const char* name : {"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"}) {
    Analysis analysis = test::sample_analysis();
    analysis.tensors[0].name = name;
    analysis.vectors[0] = name;
    for (const auto& row : csv_rows(to_csv(analysis))) {
      for (std::size_t field : {1u, 2u, 3u}) {
        EXPECT_TRUE(row[field].empty() ||
                    std::string("=+-@\t\r").find(row[field][0]) == std::string::npos)
            << row[field];
      }
    }
  }
}

}  // namespace
}  // namespace suture::report
