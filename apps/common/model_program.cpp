#include "common/model_program.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "suture/error.h"

namespace suture::apps {
namespace {

constexpr const char* kModelProgram = "suture-model";

std::filesystem::path find_model_program() {
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const auto beside = folder / kModelProgram;
  if (std::filesystem::exists(beside, error)) return beside;
  return folder / SUTURE_MODEL_PROGRAM_FOLDER / kModelProgram;
}

}  // namespace

int run_model_program(const Arguments& arguments) {
  const std::string program = find_model_program();
  std::string name = "suture";
  std::vector<std::string> words = arguments.command_line;
  std::vector<char*> argv{name.data()};
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  throw IoError({program,
                 {},
                 std::string("cannot be started: ") + std::strerror(errno),
                 "the program that runs models",
                 "build or install all of Suture"});
}

}  // namespace suture::apps
