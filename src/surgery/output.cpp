#include "surgery/output.h"

#include <algorithm>
#include <array>

#include "suture/error.h"

#include "format/file.h"
#include "format/model_folder.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

constexpr std::array kTokenizerFiles{"tokenizer.json",    "tokenizer_config.json",
                                     "tokenizer.model",   "special_tokens_map.json",
                                     "added_tokens.json", "vocab.json",
                                     "merges.txt"};

bool same_bytes(const TensorSource& a, const TensorInfo& in_a, const TensorSource& b,
                const TensorInfo& in_b) {
  constexpr std::size_t kPiece = 1 << 20;
  std::vector<char> left(kPiece), right(kPiece);
  for (std::uint64_t begin = 0; begin < in_a.bytes; begin += kPiece) {
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, in_a.bytes - begin));
    a.read(in_a, begin, count, left.data());
    b.read(in_b, begin, count, right.data());
    if (!std::equal(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count), right.begin()))
      return false;
  }
  return true;
}

void refuse_output_on(const std::string& path, const Checkpoint& input) {
  if (!input.folder().empty()) format::refuse_output_on_input(path, input.folder());
  for (const fs::path& file : input.files()) format::refuse_output_on_input(path, file);
}

}  // namespace

bool is_single_file(const std::string& path) {
  return fs::path(path).extension() == ".safetensors";
}

void refuse_unwritable(const std::string& path, bool replace_existing) {
  format::refuse_unreplaceable(
      path, is_single_file(path) ? format::OutputKind::kFile : format::OutputKind::kFolder,
      replace_existing ? format::Existing::kReplace : format::Existing::kRefuse);
}

void refuse_output_on_sources(const std::string& path, const std::vector<SourcePtr>& sources) {
  for (const SourcePtr& source : sources) {
    if (source->checkpoint() != nullptr) refuse_output_on(path, *source->checkpoint());
    if (source->adapter() != nullptr && source->adapter()->base)
      refuse_output_on(path, *source->adapter()->base);
  }
}

void copy_side_files(const fs::path& folder, const std::vector<fs::path>& names,
                     format::StagedOutput& stage) {
  for (const fs::path& name : names) {
    const format::File source = format::File::open(format::resolve_inside(folder, name));
    const fs::path destination = stage.path_of(name);
    fs::create_directories(destination.parent_path());
    format::OutputFile copy(destination, source.size());
    copy.copy_from(source, 0, 0, source.size());
    copy.finish();
  }
}

std::vector<fs::path> tokenizer_files(const fs::path& folder) {
  std::vector<fs::path> files;
  if (folder.empty()) return files;
  for (const fs::path& name : format::find_side_files(folder).copied) {
    if (std::find(kTokenizerFiles.begin(), kTokenizerFiles.end(), name.string()) !=
        kTokenizerFiles.end())
      files.push_back(name);
  }
  return files;
}

std::vector<std::string> require_equal_non_floats(const TensorSource& tuned,
                                                  const TensorSource& base) {
  std::vector<std::string> left_out;
  for (const TensorInfo& tensor : tuned.tensors()) {
    if (is_computable(tensor.dtype)) continue;
    const TensorInfo* other = base.find(tensor.name);
    if (other == nullptr || is_computable(other->dtype))
      continue;  // told by the compatibility check
    if (other->dtype != tensor.dtype || other->shape != tensor.shape ||
        !same_bytes(tuned, tensor, base, *other)) {
      throw CompatibilityError(
          {tuned.name() + " - " + base.name(), tensor.name,
           "a " + std::string(name_of(tensor.dtype)) + " tensor that differs between the two",
           "equal ones: only bf16, f16, f32 and f64 can be subtracted", "use unquantised models"});
    }
    left_out.push_back(printable(tensor.name) + " (" + std::string(name_of(tensor.dtype)) +
                       ", equal in both)");
  }
  return left_out;
}

}  // namespace suture
