// Times a model on request, so that another engine can be timed in turn with it.
//
//   model_bench MODEL [THREADS]
//
// Each line of stdin asks for one measurement, answered by its seconds on a line of stdout:
//   prefill N          scores of the last of N tokens
//   decode N M         M tokens, greedily, behind a prompt of N
//   score R N C M      R records of N context tokens, which all records share but the last 8, and C
//                      continuations of M tokens each
// Tokens follow from their position, so that the other engine can be given the same.

#include <chrono>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "suture/error.h"
#include "suture/language_model.h"

namespace {

using Clock = std::chrono::steady_clock;
using suture::TokenIds;

TokenIds tokens(std::int64_t begin, std::int64_t count, std::int64_t vocab_size) {
  TokenIds ids;
  for (std::int64_t i = begin; i < begin + count; ++i) ids.push_back((i * 7919 + 13) % vocab_size);
  return ids;
}

void prefill(suture::LanguageModel& model, std::int64_t count) {
  suture::GenerationRequest request;
  request.prompt = tokens(0, count, model.vocab_size());
  request.max_new_tokens = 1;
  model.generate({request});
}

void decode(suture::LanguageModel& model, std::int64_t prompt, std::int64_t count) {
  suture::GenerationRequest request;
  request.prompt = tokens(0, prompt, model.vocab_size());
  request.max_new_tokens = count;
  model.generate({request});
}

void score(suture::LanguageModel& model, std::int64_t records, std::int64_t context,
           std::int64_t choices, std::int64_t length) {
  std::vector<suture::ScoringRequest> requests;
  for (std::int64_t record = 0; record < records; ++record) {
    TokenIds shared = tokens(0, context - 8, model.vocab_size());
    const TokenIds own = tokens(1000 + 8 * record, 8, model.vocab_size());
    shared.insert(shared.end(), own.begin(), own.end());
    for (std::int64_t choice = 0; choice < choices; ++choice) {
      const std::int64_t begin = 10'000 + (record * choices + choice) * length;
      requests.push_back({shared, tokens(begin, length, model.vocab_size())});
    }
  }
  model.score(requests);
}

// So that the next peak is the next measurement's own.
void forget_peak_memory() { std::ofstream("/proc/self/clear_refs") << 5; }

// The memory of the process at its highest, in MB.
std::string peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::to_string(std::stol(line.substr(6)) / 1024);
  }
  return "0";
}

void answer(suture::LanguageModel& model, const std::string& line) {
  std::istringstream words(line);
  std::string what;
  std::int64_t a = 0, b = 0, c = 0, d = 0;
  words >> what >> a >> b >> c >> d;
  forget_peak_memory();
  const auto begin = Clock::now();
  if (what == "prefill") prefill(model, a);
  if (what == "decode") decode(model, a, b);
  if (what == "score") score(model, a, b, c, d);
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  std::cout << seconds.count() << " " << peak_memory() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  try {
    suture::LanguageModelOptions options;
    if (argc > 2) options.run.threads = static_cast<unsigned>(std::stoul(argv[2]));
    suture::LanguageModel model = suture::LanguageModel::open(argv[1], options);
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) answer(model, line);
  } catch (const suture::Error& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
