#include "surgery/vector_digest.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "stream/worker_pool.h"
#include "surgery/form.h"

namespace suture {
namespace {

constexpr std::uint64_t kPieceBytes = 8 << 20;

// Whole elements, as sources read them.
void add_tensor(const TensorSource& source, const TensorInfo& tensor, std::vector<char>& piece,
                format::DigestStream& digest) {
  digest.update(tensor.name + " " + std::string(name_of(tensor.dtype)) + to_string(tensor.shape));
  for (std::uint64_t begin = 0; begin < tensor.bytes; begin += kPieceBytes) {
    const std::uint64_t bytes = std::min(kPieceBytes, tensor.bytes - begin);
    piece.resize(bytes);
    source.read(tensor, begin, bytes, piece.data());
    digest.update(std::string_view(piece.data(), bytes));
  }
}

format::Digest digest_of_all(const std::vector<SourcePtr>& sources, const RunOptions& options) {
  std::vector<format::Digest> digests(sources.size());
  stream::run_jobs(sources.size(), options, [&] {
    return [&](std::size_t job) {
      format::DigestStream digest;
      std::vector<char> piece;
      for (const TensorInfo& tensor : sources[job]->tensors()) {
        stream::check_cancelled(options);
        add_tensor(*sources[job], tensor, piece, digest);
      }
      digests[job] = digest.finish();
    };
  });
  format::DigestStream digest;
  for (const format::Digest& source : digests) digest.update(source);
  return digest.finish();
}

}  // namespace

format::Digest content_digest(const TaskVector& vector, const RunOptions& options) {
  return digest_of_all(sources_of(vector.form()), options);
}

format::Digest content_digest(const Checkpoint& model, const RunOptions& options) {
  return digest_of_all({make_source(model)}, options);
}

}  // namespace suture
