#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "surgery/tokenizer_content.h"

namespace suture {

/// Rows [first, first + count) of one model that stand for the same tokens as rows
/// [first + shift, ...) of each donor.
struct RowRun {
  std::int64_t first = 0, count = 0;
  std::vector<std::int64_t> shifts;  ///< By donor.
};

/// Matches the rows of an embedding by token text. `rows` is the model's number of rows, `donors`
/// pairs of a donor's tokenizer and its number of rows. A row is matched when all donors know its
/// token. Runs are in order and as long as they can be.
struct DonorVocabulary {
  const TokenizerContent* tokenizer = nullptr;
  std::int64_t rows = 0;
};
std::vector<RowRun> match_rows(const TokenizerContent& tokenizer, std::int64_t rows,
                               const std::vector<DonorVocabulary>& donors);

/// Number of rows in all runs.
std::size_t count_rows(const std::vector<RowRun>& runs);

}  // namespace suture
