#include "suture/explorer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "suture/error.h"

#include "evaluate/aggregate.h"
#include "evaluate/encoding.h"
#include "evaluate/paired_effect.h"
#include "evaluate/prompt.h"
#include "evaluate/statistics.h"
#include "evaluate/text_codec.h"
#include "stream/weights_store.h"
#include "surgery/switched_weights.h"

namespace suture {
namespace {

constexpr std::size_t kKeptReferences = 64;  // answers of the target alone

// The metric that a task is ranked by, by record.
struct Scores {
  std::string metric, filter;
  std::vector<double> records;
};

const RecordMetric* metric_in(const RecordResult& record, const std::string& name,
                              const std::string& filter) {
  for (const RecordMetric& metric : record.metrics)
    if (metric.name == name && (filter.empty() || metric.filter == filter)) return &metric;
  return nullptr;
}

// `exact_match,strict` names a filter, too; where the task names none that records have, the first
// counts.
Scores primary_scores(const Task& task, const Evaluation& evaluation) {
  Scores scores;
  if (evaluation.records.empty() || evaluation.records.front().metrics.empty()) return scores;
  const std::string& primary = task.settings().primary_metric;
  const std::size_t comma = primary.find(',');
  const std::string filter = comma == std::string::npos ? "" : primary.substr(comma + 1);
  const RecordResult& first = evaluation.records.front();
  const RecordMetric* metric = metric_in(first, primary.substr(0, comma), filter);
  if (metric == nullptr) metric = &first.metrics.front();
  scores.metric = metric->name;
  scores.filter = metric->filter;
  for (const RecordResult& record : evaluation.records) {
    const RecordMetric* own = metric_in(record, scores.metric, scores.filter);
    if (own != nullptr) scores.records.push_back(own->value);
  }
  return scores;
}

EditScore compare(const Task& task, const Scores& scores, const Scores& reference) {
  EditScore result;
  result.task = task.name();
  result.metric = scores.metric;
  result.filter = scores.filter;
  result.is_share = evaluation::is_share(scores.metric);
  result.higher_is_better = evaluation::higher_is_better(scores.metric);
  result.value = evaluation::mean(scores.records);
  result.reference_value = evaluation::mean(reference.records);
  result.records = scores.records.size();
  const auto kind =
      result.is_share ? evaluation::EffectKind::kShare : evaluation::EffectKind::kMean;
  const auto effect = evaluation::paired_effect(scores.records, reference.records, kind);
  result.difference = effect.difference;
  if (effect.interval) {
    result.low = effect.interval->low;
    result.high = effect.interval->high;
  }
  return result;
}

// What is fed of a record before its answer; nothing of a text, which has no answer.
std::string first_prompt(const Task& task, const EvaluationOptions& options) {
  if (task.records().empty() || task.kind() == TaskKind::kText) return {};
  const TaskRecord& record = task.records().front();
  return evaluation::prompt_of(
      task, task.kind() == TaskKind::kChoice ? record.context : record.prompt, options);
}

}  // namespace

struct Explorer::State {
  State(const Checkpoint& target, LanguageModel& language_model, const Tokenizer& tokenizer_,
        std::vector<TaskVector> all, ExplorerOptions how)
      : model(language_model),
        tokenizer(tokenizer_),
        codec(evaluation::codec_of(tokenizer)),
        vectors(std::move(all)),
        options(std::move(how)),
        weights(target, std::make_unique<stream::WeightsInMemory>(model.weights()),
                options.vocabulary, options_of_edits(options)) {
    options.evaluation.run.cancel = options.run.cancel;
  }

  // From now on.
  void let_edits_be_cancelled() {
    options.run = options_of_edits(options);
    options.evaluation.run.cancel = options.run.cancel;
  }

  static RunOptions options_of_edits(const ExplorerOptions& options) {
    RunOptions run = options.run;
    if (options.edit_cancel != nullptr) run.cancel = options.edit_cancel;
    return run;
  }

  LanguageModel& model;
  const Tokenizer& tokenizer;
  evaluation::TextCodec codec;
  std::vector<TaskVector> vectors;
  ExplorerOptions options;
  SwitchedWeights weights;
  std::string task_prompt;  // of the task's first record
  Scores reference_scores;
  EditOutcome reference;
  std::map<std::string, std::string> reference_answers;  // by prompt

  Scores score() {
    return primary_scores(*options.task,
                          evaluate(model, tokenizer, *options.task, options.evaluation));
  }

  // A prompt of the user's is put into the conversation's form; the task's already is.
  std::string fed_prompt(const std::string& prompt) const {
    if (prompt.empty() || !options.evaluation.chat) return prompt;
    std::vector<ChatMessage> messages{{"user", prompt}};
    if (!options.evaluation.system_instruction.empty())
      messages.insert(messages.begin(), {"system", options.evaluation.system_instruction});
    return options.evaluation.chat->render(messages, true);
  }

  std::string answer(const std::string& fed) {
    const bool adds_special = options.evaluation.add_bos && !options.evaluation.chat;
    GenerationRequest request;
    request.max_new_tokens = std::min(options.sample_tokens, model.max_length() - 1);
    evaluation::EncodedPair prompt = evaluation::encode_prompt(
        codec, fed, adds_special, request.max_new_tokens, model.max_length(), "the prompt");
    // The task's own is cut as `evaluate` cuts it.
    if (prompt.truncated > 0 && fed != task_prompt)
      throw UsageError({"the prompt",
                        {},
                        std::to_string(prompt.truncated) + " tokens too many before the " +
                            std::to_string(request.max_new_tokens) + " of its answer",
                        {},
                        "shorten it"});
    request.prompt = std::move(prompt.request.context);
    request.end_tokens = options.evaluation.end_tokens;
    if (codec.eos) request.end_tokens.push_back(*codec.eos);
    ModelRun run;
    run.cancel = options.run.cancel;
    return codec.decode(model.generate({request}, run).front().tokens, true);
  }

  // Of the target alone. Needs the weights only for a prompt that is new.
  const std::string& reference_answer(const std::string& fed) {
    const auto known = reference_answers.find(fed);
    if (known != reference_answers.end()) return known->second;
    weights.become(TaskVector());
    if (reference_answers.size() >= kKeptReferences) reference_answers.clear();
    return reference_answers.emplace(fed, answer(fed)).first->second;
  }
};

Explorer::Explorer(const Checkpoint& target, LanguageModel& model, const Tokenizer& tokenizer,
                   std::vector<TaskVector> vectors, ExplorerOptions options)
    : state_(std::make_unique<State>(target, model, tokenizer, std::move(vectors),
                                     std::move(options))) {
  State& state = *state_;
  if (state.options.task) {
    state.reference_scores = state.score();
    state.reference.score =
        compare(*state.options.task, state.reference_scores, state.reference_scores);
    state.task_prompt = first_prompt(*state.options.task, state.options.evaluation);
  }
  const std::string fed =
      state.options.prompt.empty() ? state.task_prompt : state.fed_prompt(state.options.prompt);
  if (!fed.empty()) {
    const std::string answer = state.answer(fed);
    state.reference_answers[fed] = answer;
    state.reference.sample = EditSample{fed, answer, answer};
  }
  state.let_edits_be_cancelled();
}

Explorer::~Explorer() {
  try {
    restore();
  } catch (...) {
    // Told by the call of `restore` that goes before, or hidden by the error that ended the run.
  }
}

TaskVector Explorer::vector_of(const ModelEdit& edit) const {
  if (edit.scales.size() != state_->vectors.size())
    throw UsageError({{},
                      {},
                      std::to_string(edit.scales.size()) + " scales",
                      std::to_string(state_->vectors.size()) + ", one for each vector",
                      {}});
  std::vector<std::string> names;
  for (const TaskVector& one : state_->vectors)
    for (std::string& name : one.names()) names.push_back(std::move(name));
  edit.only.require_matches(names);
  TaskVector vector;
  for (std::size_t i = 0; i < edit.scales.size(); ++i) {
    if (!std::isfinite(edit.scales[i]))
      throw UsageError({{}, {}, "a scale that is not a number", "a finite one", {}});
    if (edit.scales[i] != 0) vector = vector + edit.scales[i] * state_->vectors[i].only(edit.only);
  }
  return vector;
}

EditOutcome Explorer::apply(const ModelEdit& edit) {
  State& state = *state_;
  const TaskVector vector = vector_of(edit);
  const std::string own = edit.prompt.empty() ? state.options.prompt : edit.prompt;
  const std::string fed = own.empty() ? state.task_prompt : state.fed_prompt(own);
  EditOutcome outcome;
  if (!fed.empty()) outcome.sample = EditSample{fed, {}, state.reference_answer(fed)};
  state.weights.become(vector);
  outcome.realised = state.weights.realised();
  if (state.options.task)
    outcome.score = compare(*state.options.task, state.score(), state.reference_scores);
  if (outcome.sample) outcome.sample->answer = state.answer(fed);
  return outcome;
}

void Explorer::restore() { state_->weights.restore(); }

const EditOutcome& Explorer::reference() const { return state_->reference; }

}  // namespace suture
