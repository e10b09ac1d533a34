#include "ablation/arm_journal.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fcntl.h>
#include <limits>
#include <string_view>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "suture/error.h"

#include "format/file.h"
#include "format/json.h"

namespace suture::ablation {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kSchema = "suture.arms/1";
constexpr std::uint64_t kMaxJournalBytes = std::uint64_t{4} << 30;

// JSON has no word for what is not finite.
OrderedJson json_of(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double number_of(const format::Json& json) {
  if (json.is_number()) return json.get<double>();
  const auto& word = json.get_ref<const std::string&>();
  if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (word == "inf") return std::numeric_limits<double>::infinity();
  if (word == "-inf") return -std::numeric_limits<double>::infinity();
  throw std::invalid_argument("no number");
}

const std::vector<format::Json>& list_of(const format::Json& json) {
  return json.get_ref<const format::Json::array_t&>();  // throws where it is none
}

OrderedJson json_of(const ArmMetric& metric) {
  OrderedJson json{{"task", metric.task},
                   {"metric", metric.name},
                   {"filter", metric.filter},
                   {"is_share", metric.is_share},
                   {"higher_is_better", metric.higher_is_better},
                   {"value", json_of(metric.value)},
                   {"records", OrderedJson::array()}};
  for (const double record : metric.records) json["records"].push_back(json_of(record));
  return json;
}

ArmMetric metric_of(const format::Json& json) {
  ArmMetric metric;
  json.at("task").get_to(metric.task);
  json.at("metric").get_to(metric.name);
  json.at("filter").get_to(metric.filter);
  json.at("is_share").get_to(metric.is_share);
  json.at("higher_is_better").get_to(metric.higher_is_better);
  metric.value = number_of(json.at("value"));
  for (const format::Json& record : list_of(json.at("records")))
    metric.records.push_back(number_of(record));
  return metric;
}

OrderedJson json_of(const RealisedChange& change) {
  return {{"elements", change.elements},
          {"changed", change.changed},
          {"non_finite", change.non_finite},
          {"wanted_norm", json_of(change.wanted_norm)},
          {"realised_norm", json_of(change.realised_norm)},
          {"cosine", json_of(change.cosine)}};
}

RealisedChange realised_of(const format::Json& json) {
  RealisedChange change;
  json.at("elements").get_to(change.elements);
  json.at("changed").get_to(change.changed);
  json.at("non_finite").get_to(change.non_finite);
  change.wanted_norm = number_of(json.at("wanted_norm"));
  change.realised_norm = number_of(json.at("realised_norm"));
  change.cosine = number_of(json.at("cosine"));
  return change;
}

ScoredArm scored_of(const format::Json& json) {
  ScoredArm scored;
  for (const format::Json& metric : list_of(json.at("metrics")))
    scored.metrics.push_back(metric_of(metric));
  if (!json.at("realised").is_null()) scored.realised = realised_of(json.at("realised"));
  return scored;
}

std::string line_of(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

// Whether a first line without an end is one of ours that was being written.
bool is_torn_header(std::string_view text) {
  const std::string whole = line_of({{"schema", kSchema}});  // but for its fingerprint
  const std::string_view common = std::string_view(whole).substr(0, whole.find('}'));
  const std::size_t length = std::min(text.size(), common.size());
  return text.substr(0, length) == common.substr(0, length);
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw IoError({path.string(), {}, what + ": " + format::describe_errno(errno), {}, {}});
}

}  // namespace

ArmJournal::ArmJournal(const std::filesystem::path& path, const std::string& fingerprint,
                       bool begin_anew)
    : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path, "cannot be opened");
  try {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0)
      throw UsageError(
          {path.string(), {}, "another process is at it", {}, "wait, or name another -o"});
    read(fingerprint, begin_anew);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ArmJournal::~ArmJournal() { ::close(descriptor_); }

void ArmJournal::read(const std::string& fingerprint, bool begin_anew) {
  const std::string text = begin_anew ? "" : format::read_small_file(path_, kMaxJournalBytes);
  std::size_t end = 0, line_number = 0;
  for (std::size_t next; (next = text.find('\n', end)) != std::string::npos; end = next + 1) {
    const std::string place = path_.string() + ":" + std::to_string(++line_number);
    const auto json = format::parse_json(std::string_view(text).substr(end, next - end), place);
    try {
      if (line_number > 1) {
        arms_[json.at("arm").get<std::string>()] = scored_of(json);
      } else if (json.at("schema") != kSchema || json.at("fingerprint") != fingerprint) {
        const bool has_arms = text.find('\n', next + 1) != std::string::npos;
        if (json.at("schema") == kSchema && !has_arms) return begin(fingerprint);
        throw UsageError({path_.string(),
                          {},
                          "the finished arms of another run",
                          "those of the same target, vector, tasks and options",
                          "name another -o, or begin anew with --force"});
      }
    } catch (const format::Json::exception&) {
      throw FormatError({place, {}, "no record of a finished arm", kSchema, "remove the file"});
    } catch (const std::invalid_argument&) {
      throw FormatError({place, {}, "a word where a number belongs", kSchema, "remove the file"});
    }
  }
  if (line_number == 0 && !is_torn_header(text))
    throw FormatError(
        {path_.string() + ":1", {}, "no record of finished arms", kSchema, "name another -o"});
  if (line_number == 0) return begin(fingerprint);
  cut_at(end);
}

void ArmJournal::cut_at(std::size_t bytes) {
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) fail(path_, "cannot be shortened");
  if (::lseek(descriptor_, 0, SEEK_END) < 0) fail(path_, "cannot be written");
}

void ArmJournal::begin(const std::string& fingerprint) {
  cut_at(0);
  append(line_of({{"schema", kSchema}, {"fingerprint", fingerprint}}));
}

const ScoredArm* ArmJournal::find(const std::string& arm) const {
  const auto at = arms_.find(arm);
  return at == arms_.end() ? nullptr : &at->second;
}

void ArmJournal::append(const std::string& line) {
  for (std::size_t written = 0; written < line.size();) {
    const ssize_t count = ::write(descriptor_, line.data() + written, line.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path_, "cannot be written");
    written += static_cast<std::size_t>(count);
  }
  if (::fdatasync(descriptor_) != 0) fail(path_, "cannot be synced");
}

void ArmJournal::add(const std::string& arm, const ScoredArm& scored) {
  OrderedJson json{{"arm", arm}, {"metrics", OrderedJson::array()}, {"realised", nullptr}};
  for (const ArmMetric& metric : scored.metrics) json["metrics"].push_back(json_of(metric));
  if (scored.realised) json["realised"] = json_of(*scored.realised);
  append(line_of(json));
  arms_[arm] = scored;
}

}  // namespace suture::ablation
