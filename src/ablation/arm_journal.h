#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "suture/ablation.h"

namespace suture::ablation {

/// What is known of an arm once it has been scored.
struct ScoredArm {
  std::vector<ArmMetric> metrics;
  std::optional<RealisedChange> realised;
};

/// The arms of an ablation that are finished, in a file with a line for each: a killed run is gone
/// on with. The first line names the run by its fingerprint. A line that was being written when the
/// process ended is dropped. One process at a time, by a lock.
class ArmJournal {
 public:
  /// Opens `path`, or begins it. Throws UsageError when it holds arms of a run with another
  /// fingerprint (unless `begin_anew`) or another process has it open, FormatError when it holds
  /// something else, IoError.
  ArmJournal(const std::filesystem::path& path, const std::string& fingerprint, bool begin_anew);
  ~ArmJournal();
  ArmJournal(const ArmJournal&) = delete;
  ArmJournal& operator=(const ArmJournal&) = delete;

  /// Null when the arm has not been finished.
  const ScoredArm* find(const std::string& arm) const;

  /// Adds a finished arm; it is on the disk when this returns. Throws IoError.
  void add(const std::string& arm, const ScoredArm& scored);

 private:
  void read(const std::string& fingerprint, bool begin_anew);
  void begin(const std::string& fingerprint);
  void cut_at(std::size_t bytes);
  void append(const std::string& line);

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::map<std::string, ScoredArm> arms_;
};

}  // namespace suture::ablation
