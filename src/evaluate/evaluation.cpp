#include "suture/evaluation.h"

#include <algorithm>
#include <cmath>

#include "suture/error.h"

#include "evaluate/aggregate.h"
#include "evaluate/answer.h"
#include "evaluate/encoding.h"
#include "evaluate/prompt.h"
#include "evaluate/python_text.h"
#include "evaluate/text_codec.h"

namespace suture {

const MetricResult* Evaluation::find(const std::string& name, const std::string& filter) const {
  for (const MetricResult& metric : metrics)
    if (metric.name == name && (filter.empty() || metric.filter == filter)) return &metric;
  return nullptr;
}

namespace evaluation {
namespace {

// What all three kinds of tasks work with.
struct Work {
  CausalModel& model;
  const TextCodec& codec;
  const Task& task;
  const EvaluationOptions& options;
  std::size_t count = 0;

  const TaskRecord& record(std::size_t index) const { return task.records()[index]; }
  // A chat template writes the special tokens itself.
  bool adds_special_tokens() const { return options.add_bos && !options.chat; }
  std::string place(std::size_t index) const {
    return task.name() + ", line " + std::to_string(record(index).line);
  }
};

double checked_sum(const ContinuationScore& score, const std::string& place) {
  const double sum = score.log_probability();
  if (std::isnan(sum))
    throw Error({place, {}, "the model's score is not a number", {}, "try --dtype f32"});
  return sum;
}

void refuse_nan(const Generation& generation, const std::string& place) {
  ContinuationScore score;
  score.tokens = generation.scores;
  checked_sum(score, place);
}

bool is_greedy(const ContinuationScore& score) {
  return std::all_of(score.tokens.begin(), score.tokens.end(), [](const TokenScore& token) {
    return token.log_probability == token.top_log_probability;
  });
}

std::size_t first_largest(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

// --- Choice ------------------------------------------------------------------------------------

void judge_choice(const TaskRecord& record, RecordResult& result) {
  std::vector<double> by_characters, by_bytes;
  double best_other = -INFINITY;
  for (std::size_t i = 0; i < record.choices.size(); ++i) {
    const double score = result.log_probabilities[i];
    by_characters.push_back(score / static_cast<double>(code_points(record.choices[i])));
    by_bytes.push_back(score / static_cast<double>(record.choices[i].size()));
    if (i != record.gold) best_other = std::max(best_other, score);
  }
  const auto right = [&](const std::vector<double>& scores) {
    return first_largest(scores) == record.gold ? 1.0 : 0.0;
  };
  result.target_log_probability = result.log_probabilities[record.gold];
  result.margin = *result.target_log_probability - best_other;
  result.metrics = {{"acc", "none", right(result.log_probabilities)},
                    {"acc_norm", "none", right(by_characters)},
                    {"acc_bytes", "none", right(by_bytes)},
                    {"gold_log_probability", "none", *result.target_log_probability},
                    {"margin", "none", *result.margin}};
}

std::vector<RecordResult> score_choices(const Work& work) {
  std::vector<RecordResult> results(work.count);
  std::vector<ScoringRequest> requests;
  for (std::size_t i = 0; i < work.count; ++i) {
    const TaskRecord& record = work.record(i);
    results[i].index = i;
    results[i].prompt = prompt_of(work.task, record.context, work.options);
    for (std::size_t c = 0; c < record.continuations.size(); ++c) {
      const std::string& continuation = continuation_of(record, c, work.options);
      EncodedPair pair =
          encode_pair(work.codec, results[i].prompt, continuation, work.adds_special_tokens(),
                      work.model.max_length(), work.place(i));
      results[i].truncated_tokens = std::max(results[i].truncated_tokens, pair.truncated);
      requests.push_back(std::move(pair.request));
    }
  }
  const std::vector<ContinuationScore> scores = work.model.score(requests, work.options.run);
  auto score = scores.begin();
  for (RecordResult& result : results) {
    const TaskRecord& record = work.record(result.index);
    for (std::size_t i = 0; i < record.continuations.size(); ++i, ++score) {
      result.log_probabilities.push_back(checked_sum(*score, work.place(result.index)));
      result.greedy.push_back(is_greedy(*score));
      if (i == record.gold) result.scored_tokens = score->tokens.size();
    }
    judge_choice(record, result);
  }
  return results;
}

// --- Text --------------------------------------------------------------------------------------

std::vector<RecordResult> score_texts(const Work& work, TextSizes& sizes) {
  std::vector<RecordResult> results(work.count);
  std::vector<ScoringRequest> requests;
  std::vector<std::size_t> windows(work.count);
  for (std::size_t i = 0; i < work.count; ++i) {
    const std::string& text = work.record(i).text;
    const TokenIds tokens = work.codec.encode(text, work.options.add_bos);
    if (tokens.empty())
      throw UsageError(
          {work.place(i), {}, "a text without a token", "text that the tokenizer keeps", {}});
    results[i].index = i;
    results[i].scored_tokens = tokens.size();
    for (ScoringRequest& window :
         rolling_windows(tokens, work.codec.prefix_token(), work.model.max_length())) {
      requests.push_back(std::move(window));
      ++windows[i];
    }
    sizes.words.push_back(static_cast<double>(count_words(text)));
    sizes.bytes.push_back(static_cast<double>(text.size()));
    sizes.tokens.push_back(static_cast<double>(tokens.size()));
  }
  const std::vector<ContinuationScore> scores = work.model.score(requests, work.options.run);
  auto score = scores.begin();
  for (RecordResult& result : results) {
    double sum = 0;
    bool greedy = true;
    for (std::size_t w = 0; w < windows[result.index]; ++w, ++score) {
      sum += checked_sum(*score, work.place(result.index));
      greedy = greedy && is_greedy(*score);
    }
    result.log_probabilities = {sum};
    result.greedy = {greedy};
    result.metrics = {{"nll_per_token", "none", -sum / static_cast<double>(result.scored_tokens)}};
  }
  return results;
}

// --- Generation --------------------------------------------------------------------------------

// Stop texts may be special tokens, so they are looked for in the text with them.
bool holds_stop(const TextCodec& codec, const TokenIds& tokens,
                const std::vector<std::string>& stops) {
  const std::string text = codec.decode(tokens, false);
  return std::any_of(stops.begin(), stops.end(), [&](const std::string& stop) {
    return !stop.empty() && text.find(stop) != std::string::npos;
  });
}

GenerationRequest generation_request(const Work& work, std::size_t index, RecordResult& result) {
  const TaskRecord& record = work.record(index);
  GenerationRequest request;
  request.max_new_tokens =
      work.options.max_new_tokens.value_or(work.task.settings().max_new_tokens);
  EncodedPair prompt =
      encode_prompt(work.codec, result.prompt, work.adds_special_tokens(), request.max_new_tokens,
                    work.model.max_length(), work.place(index));
  request.prompt = std::move(prompt.request.context);
  result.truncated_tokens = prompt.truncated;
  request.end_tokens = work.options.end_tokens;
  if (work.codec.eos) request.end_tokens.push_back(*work.codec.eos);
  if (!record.until.empty())
    request.stop = [&codec = work.codec, &record](const TokenIds& tokens) {
      return holds_stop(codec, tokens, record.until);
    };
  return request;
}

std::string completion_text(const Work& work, const TaskRecord& record, TokenIds tokens,
                            const TokenIds& end_tokens) {
  if (!tokens.empty() && std::count(end_tokens.begin(), end_tokens.end(), tokens.back()) > 0)
    tokens.pop_back();
  std::vector<std::string> stops = record.until;
  if (work.codec.eos) stops.push_back(work.codec.decode({*work.codec.eos}, false));
  return cut_at_stops(work.codec.decode(tokens, true), stops);
}

class AnswerJudge {
 public:
  explicit AnswerJudge(const TaskSettings& settings) : comparer_(settings.comparison) {
    for (const AnswerFilter& filter : settings.filters) extractors_.emplace_back(filter);
  }

  void judge(const TaskRecord& record, RecordResult& result) const {
    for (const AnswerExtractor& extractor : extractors_) {
      result.answers.push_back(record.filter
                                   ? AnswerExtractor(*record.filter).extract(result.completion)
                                   : extractor.extract(result.completion));
      if (record.target)
        result.metrics.push_back(
            {"exact_match", extractor.name(),
             comparer_.equal(result.answers.back(), *record.target) ? 1.0 : 0.0});
    }
  }

 private:
  AnswerComparer comparer_;
  std::vector<AnswerExtractor> extractors_;
};

void score_targets(const Work& work, std::vector<RecordResult>& results) {
  std::vector<ScoringRequest> requests;
  std::vector<RecordResult*> scored;
  for (RecordResult& result : results) {
    const TaskRecord& record = work.record(result.index);
    if (!record.target) continue;
    if (record.target->empty())
      throw UsageError({work.place(result.index),
                        {},
                        "an empty target cannot be scored",
                        {},
                        "leave --score-targets out"});
    const std::string delimiter = work.options.chat ? "" : work.task.settings().target_delimiter;
    const std::string continuation = delimiter + *record.target;
    requests.push_back(encode_pair(work.codec, result.prompt, continuation,
                                   work.adds_special_tokens(), work.model.max_length(),
                                   work.place(result.index))
                           .request);
    scored.push_back(&result);
  }
  const std::vector<ContinuationScore> scores = work.model.score(requests, work.options.run);
  for (std::size_t i = 0; i < scored.size(); ++i) {
    RecordResult& result = *scored[i];
    result.target_log_probability = checked_sum(scores[i], work.place(result.index));
    result.scored_tokens = scores[i].tokens.size();
    result.metrics.push_back(
        {"target_nll_per_token", "none",
         -*result.target_log_probability / static_cast<double>(result.scored_tokens)});
  }
}

std::vector<RecordResult> generate_answers(const Work& work) {
  std::vector<RecordResult> results(work.count);
  std::vector<GenerationRequest> requests;
  for (std::size_t i = 0; i < work.count; ++i) {
    results[i].index = i;
    results[i].prompt = prompt_of(work.task, work.record(i).prompt, work.options);
    requests.push_back(generation_request(work, i, results[i]));
  }
  const std::vector<Generation> generations = work.model.generate(requests, work.options.run);
  const AnswerJudge judge(work.task.settings());
  for (std::size_t i = 0; i < work.count; ++i) {
    refuse_nan(generations[i], work.place(i));
    results[i].generated_tokens = generations[i].tokens.size();
    results[i].ran_into_limit = generations[i].finish == FinishReason::kLength;
    results[i].completion =
        completion_text(work, work.record(i), generations[i].tokens, requests[i].end_tokens);
    judge.judge(work.record(i), results[i]);
  }
  if (work.options.score_targets) score_targets(work, results);
  return results;
}

std::size_t record_count(const Task& task, const EvaluationOptions& options) {
  if (options.limit && *options.limit == 0)
    throw UsageError({{}, {}, "a limit of 0 records leaves nothing to score", "at least 1", {}});
  return std::min(options.limit.value_or(task.records().size()), task.records().size());
}

// Scores are compared over the same records only, so either all have a target or none has.
void refuse_some_targets(const Work& work) {
  std::size_t targets = 0;
  for (std::size_t i = 0; i < work.count; ++i) targets += work.record(i).target ? 1 : 0;
  if (work.task.kind() == TaskKind::kGeneration && targets > 0 && targets < work.count)
    throw UsageError(
        {work.task.name(),
         {},
         std::to_string(targets) + " of " + std::to_string(work.count) + " records have a target",
         "all of them, or none",
         {}});
}

}  // namespace

Evaluation evaluate(CausalModel& model, const TextCodec& codec, const Task& task,
                    const EvaluationOptions& options) {
  const Work work{model, codec, task, options, record_count(task, options)};
  refuse_some_targets(work);
  Evaluation evaluation;
  TextSizes sizes;
  switch (task.kind()) {
    case TaskKind::kChoice:
      evaluation.records = score_choices(work);
      break;
    case TaskKind::kGeneration:
      evaluation.records = generate_answers(work);
      break;
    case TaskKind::kText:
      evaluation.records = score_texts(work, sizes);
      break;
  }
  evaluation.metrics = task.kind() == TaskKind::kText ? text_metrics(evaluation.records, sizes)
                                                      : mean_metrics(evaluation.records);
  for (const RecordResult& record : evaluation.records)
    evaluation.truncated_records += record.truncated_tokens > 0 ? 1 : 0;
  return evaluation;
}

}  // namespace evaluation
}  // namespace suture
