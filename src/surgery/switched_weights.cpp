#include "surgery/switched_weights.h"

#include <utility>

#include "surgery/realised_change.h"

namespace suture {

SwitchedWeights::SwitchedWeights(const Checkpoint& target,
                                 std::unique_ptr<stream::WeightsStore> store,
                                 VocabularyPolicy vocabulary, const RunOptions& options)
    : target_(make_source(target)),
      store_(std::move(store)),
      vocabulary_(vocabulary),
      options_(options),
      outputs_(plan(vector_)),
      known_(outputs_.size(), true),
      sums_(outputs_.size()) {
  options_.on_progress = {};  // told of whole arms, not of tensors
}

std::vector<OutputTensor> SwitchedWeights::plan(const TaskVector& vector) const {
  InjectedTensors tensors(target_, vector, vocabulary_);
  std::vector<OutputTensor> outputs;
  for (const TensorInfo& tensor : target_->tensors()) outputs.push_back(tensors.plan(tensor));
  return outputs;
}

std::vector<std::size_t> SwitchedWeights::changed(const std::vector<OutputTensor>& next) const {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < next.size(); ++i)
    if (!known_[i] || next[i].segments != outputs_[i].segments) indices.push_back(i);
  return indices;
}

std::size_t SwitchedWeights::become(const TaskVector& vector) {
  std::vector<OutputTensor> next = plan(vector);
  const std::vector<std::size_t> indices = changed(next);
  target_->verify_unchanged();
  for (const SourcePtr& source : sources_of(vector.form())) source->verify_unchanged();

  std::vector<OutputTensor> outputs;
  std::vector<std::string> names;
  for (const std::size_t i : indices) {
    outputs.push_back(next[i]);
    names.push_back(next[i].info.name);
    known_[i] = false;
  }
  outputs_ = std::move(next);
  vector_ = vector;
  const auto places = store_->open(names);
  const std::vector<kernels::ChangeSums> sums = execute(outputs, places, *store_, options_);
  store_->close();
  for (std::size_t i = 0; i < indices.size(); ++i) {
    sums_[indices[i]] = sums[i];
    known_[indices[i]] = true;
  }
  return indices.size();
}

void SwitchedWeights::restore() {
  const std::atomic<bool>* cancel = std::exchange(options_.cancel, nullptr);
  become(TaskVector());
  options_.cancel = cancel;
}

RealisedChanges SwitchedWeights::realised() const { return roll_up(outputs_, sums_); }

}  // namespace suture
