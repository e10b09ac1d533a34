// Where a PEFT adapter is seen, and where a model is.

#include "format/adapter_folder.h"

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

using test::holds;
using test::TempDir;
using test::thrown_by;
using test::write_file;

TEST(AdapterFolder, FindsFolderAndFile) {
  const TempDir dir;
  write_file(dir / "skill/adapter_config.json", "{}");
  write_file(dir / "skill/adapter_model.safetensors", "");
  for (const char* location : {"skill", "skill/", "skill/adapter_model.safetensors"}) {
    const auto found = find_adapter((dir / location).string());
    ASSERT_TRUE(found) << location;
    EXPECT_EQ(found->name, "skill");
    EXPECT_EQ(found->weights.filename(), "adapter_model.safetensors");
  }
}

TEST(AdapterFolder, PrefersSafetensors) {
  const TempDir dir;
  write_file(dir / "adapter_config.json", "{}");
  write_file(dir / "adapter_model.bin", "");
  EXPECT_EQ(find_adapter(dir.path().string())->weights.filename(), "adapter_model.bin");
  write_file(dir / "adapter_model.safetensors", "");
  EXPECT_EQ(find_adapter(dir.path().string())->weights.filename(), "adapter_model.safetensors");
}

TEST(AdapterFolder, AWholeModelIsNone) {
  const TempDir dir;
  write_file(dir / "adapter_config.json", "{}");
  write_file(dir / "adapter_model.safetensors", "");
  write_file(dir / "model.safetensors", "");
  EXPECT_FALSE(find_adapter(dir.path().string()));
  EXPECT_TRUE(find_adapter((dir / "adapter_model.safetensors").string()));
  EXPECT_FALSE(find_adapter((dir / "model.safetensors").string()));
}

TEST(AdapterFolder, OtherThingsAreNone) {
  const TempDir dir;
  write_file(dir / "adapter_model.safetensors", "");
  EXPECT_FALSE(find_adapter((dir / "adapter_model.safetensors").string()));  // no config
  for (const char* location : {"", "nothing", "no/such", "org/name"})
    EXPECT_FALSE(find_adapter(location)) << location;
}

TEST(AdapterFolder, AConfigAloneIsRefused) {
  const TempDir dir;
  write_file(dir / "adapter_config.json", "{}");
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { find_adapter(dir.path().string()); }),
                    "expected adapter_model.safetensors or adapter_model.bin"));
}

TEST(AdapterFolder, ALinkOutOfTheFolderIsRefused) {
  const TempDir dir;
  write_file(dir / "elsewhere.json", "{}");
  write_file(dir / "skill/adapter_model.safetensors", "");
  std::filesystem::create_symlink(dir / "elsewhere.json", dir / "skill/adapter_config.json");
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { find_adapter((dir / "skill").string()); }),
                    "a link that leaves the model's folder"));
}

}  // namespace
}  // namespace suture::format
