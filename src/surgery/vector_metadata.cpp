#include "surgery/vector_metadata.h"

#include <algorithm>
#include <cmath>

#include "suture/error.h"

#include "format/json.h"

namespace suture {
namespace {

using format::Json;

// Sparse vectors have a number of their own, so that who knows dense ones alone refuses them.
constexpr int kDenseVersion = 1, kSparseVersion = 2;
constexpr const char* kMetadataKey = "suture";

Json to_json(const Donor& donor) {
  return {{"role", donor.role}, {"name", donor.name}, {"digest", donor.digest}};
}

Donor donor_from(const Json& json) {
  return {json.at("role").get<std::string>(), json.at("name").get<std::string>(),
          json.at("digest").get<std::string>()};
}

void require_known_version(const Json& root, const std::string& file) {
  const Json& version = root.at("format_version");
  const int number = version.get<int>();
  const bool is_known = number == kDenseVersion || number == kSparseVersion;
  if (version.is_number_integer() && is_known) return;
  throw FormatError(
      {file,
       {},
       "a vector of format " + printable(version.dump()),
       "format " + std::to_string(kDenseVersion) + " or " + std::to_string(kSparseVersion),
       "use a newer Suture, or extract it again"});
}

Json to_json(const SparseTensor& tensor) {
  return {{"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}};
}

SparseTensor sparse_tensor_from(const std::string& name, const Json& json,
                                const std::string& file) {
  const auto dtype = dtype_from_name(json.at("dtype").get<std::string>());
  if (!dtype || !is_computable(*dtype)) {
    throw FormatError({file, name, "a sparse tensor of dtype " + json.at("dtype").dump(),
                       "BF16, F16, F32 or F64", "extract the vector again"});
  }
  const Json& shape = json.at("shape");
  // A conversion would take 300.7 for 300, and true for 1.
  const bool is_whole = std::all_of(shape.begin(), shape.end(), [](const Json& dimension) {
    return dimension.is_number_integer();
  });
  if (!shape.is_array() || !is_whole) {
    throw FormatError({file, name, "a sparse tensor of shape " + printable(shape.dump()),
                       "an array of whole numbers", "extract the vector again"});
  }
  return {*dtype, shape.get<std::vector<std::int64_t>>()};
}

}  // namespace

std::string encode(const VectorMetadata& metadata) {
  Json root;
  root["format_version"] = metadata.sparse.empty() ? kDenseVersion : kSparseVersion;
  root["formula"] = metadata.formula;
  root["donors"] = Json::array();
  for (const Donor& donor : metadata.donors) root["donors"].push_back(to_json(donor));
  root["architecture"] = metadata.architecture;
  root["tied_embeddings"] = metadata.tied_embeddings;
  root["structure"] = metadata.structure;
  root["meaning"] = metadata.meaning;
  root["tokenizer_digest"] = metadata.tokenizer_digest;
  root["base_norms"] = Json::object();
  for (const auto& [name, norm] : metadata.base_norms)
    if (std::isfinite(norm)) root["base_norms"][name] = norm;  // JSON has no infinity
  root["base_sample"] = encode(metadata.base_sample);
  root["left_out"] = metadata.left_out;
  if (!metadata.names.empty()) root["names"] = metadata.names;
  for (const auto& [name, tensor] : metadata.sparse) root["sparse"][name] = to_json(tensor);
  // File names may hold any bytes; what is not UTF-8 is replaced.
  return root.dump(-1, ' ', false, Json::error_handler_t::replace);
}

VectorMetadata decode_vector_metadata(const std::string& text, const std::string& file) {
  const Json root = format::parse_json(text, file);
  try {
    require_known_version(root, file);
    VectorMetadata metadata;
    metadata.formula = root.at("formula").get<std::string>();
    for (const Json& donor : root.at("donors")) metadata.donors.push_back(donor_from(donor));
    metadata.architecture = root.at("architecture").get<std::string>();
    metadata.tied_embeddings = root.at("tied_embeddings").get<bool>();
    metadata.structure = root.at("structure").get<std::map<std::string, std::string>>();
    metadata.meaning = root.at("meaning").get<std::map<std::string, std::string>>();
    metadata.tokenizer_digest = root.at("tokenizer_digest").get<std::string>();
    metadata.base_norms = root.at("base_norms").get<std::map<std::string, double>>();
    metadata.base_sample = decode_weight_sample(root.at("base_sample").get<std::string>(), file);
    metadata.left_out = root.at("left_out").get<std::vector<std::string>>();
    if (root.contains("names")) metadata.names = root.at("names").get<std::vector<std::string>>();
    if (root.at("format_version") == kSparseVersion) {
      if (!root.at("sparse").is_object() || root.at("sparse").empty())
        throw FormatError({file,
                           {},
                           "a sparse vector without a list of its sparse tensors",
                           {},
                           "extract the vector again"});
      for (const auto& [name, tensor] : root.at("sparse").items())
        metadata.sparse[name] = sparse_tensor_from(name, tensor, file);
    }
    return metadata;
  } catch (const nlohmann::json::exception& error) {
    throw FormatError({file,
                       {},
                       std::string("damaged vector metadata: ") + error.what(),
                       {},
                       "extract the vector again"});
  }
}

bool is_vector(const Checkpoint& checkpoint) {
  return checkpoint.metadata().count(kMetadataKey) > 0;
}

VectorMetadata require_vector(const Checkpoint& checkpoint) {
  const auto at = checkpoint.metadata().find(kMetadataKey);
  if (at == checkpoint.metadata().end()) {
    throw UsageError({checkpoint.location(),
                      {},
                      "a model, not a task vector",
                      "what `suture extract` wrote",
                      "write 'TUNED - BASE' for the difference of two models"});
  }
  return decode_vector_metadata(at->second, checkpoint.location());
}

void require_model(const Checkpoint& checkpoint, const std::string& expected,
                   const std::string& remedy) {
  if (is_vector(checkpoint))
    throw UsageError({checkpoint.location(), {}, "a task vector, not a model", expected, remedy});
}

}  // namespace suture
