#include "suture/surgery.h"

#include "surgery/injected_tensors.h"
#include "surgery/plan.h"
#include "surgery/realised_change.h"

namespace suture {
namespace {

// Takes what would be written.
class NoSink : public stream::TensorSink {
 public:
  void write(const TensorInfo&, std::uint64_t, const void*, std::size_t) override {}
  void copy(const TensorInfo&, std::uint64_t, const format::File&, std::uint64_t,
            std::uint64_t) override {}
};

}  // namespace

RealisedChanges foresee_change(const Checkpoint& target, const TaskVector& vector,
                               VocabularyPolicy vocabulary, const RunOptions& options) {
  const SourcePtr source = make_source(target);
  const TaskVector named = under_names_of(target, vector);
  InjectedTensors tensors(source, named, vocabulary);
  std::vector<OutputTensor> outputs;
  for (const TensorInfo& tensor : source->tensors()) {
    OutputTensor output = tensors.plan(tensor);
    if (!output.is_copied()) outputs.push_back(std::move(output));
  }
  TensorPlaces places;
  for (const OutputTensor& output : outputs) places[output.info.name] = &output.info;
  NoSink sink;
  return roll_up(outputs, execute(outputs, places, sink, options));
}

}  // namespace suture
