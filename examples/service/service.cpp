// A service that holds one chat model and three vectors, and answers each request with the mix that
// it asks for. A request is a line of standard input: three scales and a question. While one batch
// is answered, more requests may come; those that ask for the same mix are then answered together.
//
// usage: service MODEL VECTOR VECTOR VECTOR
//   0.8 0 0 How much is 2+4+7?

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <suture/suture.h>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kVectors = 3, kMaxBatch = 32;
using Mix = std::array<double, kVectors>;

struct Request {
  int number = 0;  // of its line
  std::string question;
};

// What the reader has read and the model has not yet answered, by the mix that it asks for.
class Requests {
 public:
  void add(const Mix& mix, Request request) {
    const std::lock_guard lock(mutex_);
    waiting_[mix].push_back(std::move(request));
    changed_.notify_one();
  }

  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_one();
  }

  // Waits for requests, and gives those of the mix whose first one came first; none at the end.
  std::pair<Mix, std::vector<Request>> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !waiting_.empty(); });
    if (waiting_.empty()) return {};
    auto first = waiting_.begin();
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it)
      if (it->second.front().number < first->second.front().number) first = it;
    const std::size_t count = std::min(kMaxBatch, first->second.size());
    const auto end = first->second.begin() + static_cast<std::ptrdiff_t>(count);
    std::pair<Mix, std::vector<Request>> batch{first->first, {first->second.begin(), end}};
    first->second.erase(first->second.begin(), end);
    if (first->second.empty()) waiting_.erase(first);
    return batch;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Mix, std::vector<Request>> waiting_;
  bool closed_ = false;
};

void read_requests(std::istream& lines, Requests& requests) {
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream text(line);
    Mix mix{};
    for (double& scale : mix) text >> scale;
    std::string question;
    if (text >> std::ws && std::getline(text, question)) {
      requests.add(mix, {number, question});
    } else {
      std::fprintf(stderr, "line %d: expected three scales and a question\n", number);
    }
  }
  requests.close();
}

class Service {
 public:
  Service(const std::string& model, const std::vector<std::string>& vectors)
      : model_(suture::LanguageModel::open(model)),
        tokenizer_(suture::Tokenizer::open(model)),
        chat_(suture::ChatTemplate::open(model)),
        live_(model_.weights()) {
    const auto target = suture::Checkpoint::open(model);
    for (const std::string& location : vectors) {
      const auto vector = suture::TaskVector::open(location);
      suture::require_fit(suture::check(target, vector));
      // In memory, so that a change of the mix reads no file; at scale 0 the weights are the
      // model's.
      edits_.push_back(live_.apply(suture::TaskVector::from(vector.materialize()), 0));
    }
  }

  void answer(const Mix& mix, const std::vector<Request>& requests) {
    blend(mix);
    const suture::LiveBatch batch = live_.batch();  // the weights hold still until it ends
    std::vector<suture::GenerationRequest> prompts(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      prompts[i].prompt = tokenizer_.encode(chat_.render({{"user", requests[i].question}}, true));
      prompts[i].max_new_tokens = 64;
      if (tokenizer_.eos_id()) prompts[i].end_tokens = {*tokenizer_.eos_id()};
    }
    const auto answers = model_.generate(prompts);
    for (std::size_t i = 0; i < requests.size(); ++i)
      std::printf("%d: %s\n", requests[i].number, tokenizer_.decode(answers[i].tokens).c_str());
    std::fflush(stdout);
  }

 private:
  // One change: no batch sees a part of it, and each weight is written once.
  void blend(const Mix& mix) {
    live_.change([&](suture::LiveChange& change) {
      for (std::size_t i = 0; i < kVectors; ++i) change.rescale(edits_[i], mix[i]);
    });
  }

  suture::LanguageModel model_;
  suture::Tokenizer tokenizer_;
  suture::ChatTemplate chat_;
  suture::LiveWeights live_;
  std::vector<suture::LiveEdit> edits_;
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2 + static_cast<int>(kVectors)) {
    std::fprintf(stderr, "usage: service MODEL VECTOR VECTOR VECTOR < REQUESTS\n");
    return 2;
  }
  Service service(argv[1], {argv + 2, argv + argc});
  Requests requests;
  std::thread reader([&] { read_requests(std::cin, requests); });
  for (auto batch = requests.next(); !batch.second.empty(); batch = requests.next()) {
    try {
      service.answer(batch.first, batch.second);
    } catch (const std::exception& error) {  // such as a question that is too long
      for (const Request& request : batch.second)
        std::printf("%d: error: %s\n", request.number, error.what());
    }
  }
  reader.join();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "service: %s\n", error.what());
  return 2;
}
