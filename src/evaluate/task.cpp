#include "suture/task.h"

#include <filesystem>

#include "suture/error.h"

#include "evaluate/task_reader.h"
#include "format/digest.h"
#include "format/file.h"

namespace suture {
namespace {

constexpr std::uint64_t kMaxTaskBytes = std::uint64_t{2} << 30;

std::string content_of(const std::filesystem::path& path) {
  const format::File file = format::File::open(path);
  if (file.size() > kMaxTaskBytes)
    throw FormatError({path.string(), {}, "the file is larger than 2 GiB", "a task", {}});
  std::string content(file.size(), '\0');
  file.read(0, content.data(), content.size());
  return content;
}

}  // namespace

Task Task::open(const std::string& path) {
  const std::filesystem::path place(path);
  const std::filesystem::path side = place.parent_path() / (place.stem().string() + ".task.json");
  const std::string content = content_of(place);
  TaskReader reader(path, place.stem().string());
  format::DigestStream digest;
  if (side != place && std::filesystem::exists(side)) {
    const std::string header = content_of(side);
    reader.add_side_header(header, side.string());
    digest.update(header);
  }
  digest.update(content);
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    reader.add_line(std::string_view(content).substr(begin, end - begin));
    begin = end + 1;
  }
  Task task = reader.finish();
  task.digest_ = format::to_hex(digest.finish());
  return task;
}

std::string Task::preamble() const { return settings_.description + examples(); }

std::string Task::examples() const {
  std::string text;
  for (const FewShotExample& example : settings_.fewshot)
    text +=
        example.prompt + settings_.target_delimiter + example.target + settings_.fewshot_delimiter;
  return text;
}

}  // namespace suture
