#include "format/model_folder.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::TempDir;
using test::thrown_by;
using test::write_file;

// A folder of empty files: where weights are is told by names alone.
struct Folder {
  explicit Folder(const std::vector<std::string>& files) {
    for (const std::string& file : files) write_file(dir / file, "");
  }
  std::string refusal() const {
    const std::string said = thrown_by<UsageError>([&] { find_weights(dir.path()); });
    EXPECT_TRUE(holds(said, dir.path().string()));
    return said;
  }
  TempDir dir;
};

std::string text_of(const std::vector<fs::path>& paths) {
  std::string text;
  for (const fs::path& path : paths) text += path.string() + " ";
  return text;
}

TEST(FindWeights, TakesASingleFile) {
  for (const char* name : {"model.safetensors", "task_vector.safetensors", "other.safetensors"}) {
    const Folder folder({name, "config.json"});
    const WeightFiles weights = find_weights(folder.dir.path());
    EXPECT_TRUE(weights.safetensors);
    EXPECT_EQ(weights.single, folder.dir / name);
    EXPECT_EQ(weights.index, "");
    EXPECT_TRUE(weights.warnings.empty());
  }
}

TEST(FindWeights, TakesAnIndex) {
  for (const char* name : {"model.safetensors.index.json", "task_vector.safetensors.index.json"}) {
    const Folder folder({name, "a.safetensors", "b.safetensors"});
    const WeightFiles weights = find_weights(folder.dir.path());
    EXPECT_TRUE(weights.safetensors);
    EXPECT_EQ(weights.single, "");
    EXPECT_EQ(weights.index, folder.dir / name);
  }
}

TEST(FindWeights, TakesOneFileBeforeAnIndexAndSaysSo) {
  const Folder folder({"model.safetensors", "model.safetensors.index.json"});
  const WeightFiles weights = find_weights(folder.dir.path());
  EXPECT_EQ(weights.single, folder.dir / "model.safetensors");
  EXPECT_EQ(weights.index, "");
  ASSERT_EQ(weights.warnings.size(), 1u);
  EXPECT_TRUE(holds(weights.warnings[0], "both model.safetensors and an index"));
}

TEST(FindWeights, TakesSafetensorsBeforePickles) {
  const Folder folder({"model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json"});
  EXPECT_EQ(find_weights(folder.dir.path()).single, folder.dir / "model.safetensors");
}

TEST(FindWeights, TakesPickles) {
  for (const char* name : {"pytorch_model.bin", "model.pt", "pytorch_model.pt"}) {
    const Folder folder({name, "adapter_model.safetensors"});
    const WeightFiles weights = find_weights(folder.dir.path());
    EXPECT_FALSE(weights.safetensors);
    EXPECT_EQ(weights.single, folder.dir / name);
  }
}

TEST(FindWeights, TakesShardedPickles) {
  const Folder folder({"pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"});
  const WeightFiles weights = find_weights(folder.dir.path());
  EXPECT_FALSE(weights.safetensors);
  EXPECT_EQ(weights.single, "");
  EXPECT_EQ(weights.index, folder.dir / "pytorch_model.bin.index.json");
}

TEST(FindWeights, DoesNotTakeAFolderForAFile) {
  const Folder folder({"model.safetensors/inner", "pytorch_model.bin"});
  EXPECT_EQ(find_weights(folder.dir.path()).single, folder.dir / "pytorch_model.bin");
}

TEST(FindWeights, SaysWhatIsThereInstead) {
  EXPECT_TRUE(holds(Folder({"config.json"}).refusal(), "no weights"));
  EXPECT_TRUE(holds(Folder({}).refusal(), "no weights"));
  EXPECT_TRUE(holds(Folder({"adapter_config.json", "adapter_model.safetensors"}).refusal(),
                    "a LoRA adapter, not a model"));
  EXPECT_TRUE(holds(Folder({".metadata", "__0_0.distcp"}).refusal(), "a distributed checkpoint"));
  EXPECT_TRUE(holds(Folder({"m.gguf"}).refusal(), "a GGUF model"));
  EXPECT_TRUE(holds(Folder({"a.safetensors", "b.safetensors"}).refusal(),
                    "several safetensors files and no index"));
}

TEST(FindWeights, RefusesAFolderThatIsNotThere) {
  const TempDir dir;
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { find_weights(dir / "none"); }), "cannot be listed"));
}

TEST(FindSideFiles, CopiesTheModelsOtherFiles) {
  const Folder folder({"config.json", "tokenizer.json", "LICENSE", "README.md",
                       "chat_template.jinja", "merges.txt", "tokenizer.model", "modeling_x.py",
                       "sub/deep/file.txt"});
  const SideFiles files = find_side_files(folder.dir.path());
  EXPECT_EQ(text_of(files.copied),
            "LICENSE README.md chat_template.jinja config.json merges.txt modeling_x.py "
            "sub/deep/file.txt tokenizer.json tokenizer.model ");
  EXPECT_EQ(text_of(files.left_out), "");
}

TEST(FindSideFiles, LeavesOutWeightsOfEveryFormat) {
  const Folder folder({"a.safetensors", "b.bin", "c.pt", "d.pth", "e.gguf", "f.ggml", "g.h5",
                       "h.msgpack", "i.ot", "j.onnx", "k.onnx_data", "l.distcp", "m.ckpt", "n.npz",
                       "onnx/model.onnx", "model.safetensors.index.json",
                       "pytorch_model.bin.index.json", "suture.json"});
  const SideFiles files = find_side_files(folder.dir.path());
  EXPECT_EQ(text_of(files.copied), "");
  EXPECT_EQ(files.left_out.size(), 18u) << text_of(files.left_out);
}

TEST(FindSideFiles, IgnoresHiddenFilesAndFolders) {
  const Folder folder({".git/config", ".gitattributes", "sub/.hidden", "config.json"});
  const SideFiles files = find_side_files(folder.dir.path());
  EXPECT_EQ(text_of(files.copied), "config.json ");
}

TEST(FindSideFiles, GoesOnlySoDeep) {
  const Folder folder({"1/2/3/4/in", "1/2/3/4/5/out"});
  EXPECT_EQ(text_of(find_side_files(folder.dir.path()).copied), "1/2/3/4/in ");
}

TEST(FindSideFiles, EndsOnLinksThatLoop) {
  const Folder folder({"config.json"});
  fs::create_symlink("loop", folder.dir / "loop");
  fs::create_directory_symlink(".", folder.dir / "self");
  const SideFiles files = find_side_files(folder.dir.path());
  EXPECT_TRUE(holds(text_of(files.copied), "config.json "));
}

TEST(ResolveInside, KeepsFilesOfTheFolder) {
  const Folder folder({"f", "sub/g"});
  EXPECT_EQ(resolve_inside(folder.dir.path(), "f"), folder.dir / "f");
  EXPECT_EQ(resolve_inside(folder.dir.path(), "sub/g"), folder.dir / "sub/g");
  EXPECT_EQ(resolve_inside(folder.dir.path(), "not there"), folder.dir / "not there");
}

TEST(ResolveInside, FollowsLinksWithinTheFolder) {
  const Folder folder({"sub/g"});
  fs::create_symlink("sub/g", folder.dir / "link");
  fs::create_symlink(folder.dir / "sub/g", folder.dir / "absolute");
  EXPECT_EQ(resolve_inside(folder.dir.path(), "link"), folder.dir / "link");
  EXPECT_EQ(resolve_inside(folder.dir.path(), "absolute"), folder.dir / "absolute");
}

TEST(ResolveInside, RefusesLinksThatLeaveTheFolder) {
  const Folder folder({"model/f", "secret", "model-2/f"});
  fs::create_symlink("../secret", folder.dir / "model/relative");
  fs::create_symlink(folder.dir / "secret", folder.dir / "model/absolute");
  fs::create_symlink("../model-2/f", folder.dir / "model/sibling");
  fs::create_directory_symlink("..", folder.dir / "model/parent");
  for (const char* name : {"relative", "absolute", "sibling", "parent/secret", "parent"}) {
    const std::string said =
        thrown_by<FormatError>([&] { resolve_inside(folder.dir / "model", name); });
    EXPECT_TRUE(holds(said, "a link that leaves the model's folder")) << name;
    EXPECT_TRUE(holds(said, (folder.dir / "model" / name).string()));
  }
}

TEST(ResolveInside, AllowsTheBlobsOfACacheSnapshot) {
  const Folder folder({"models--o--n/blobs/b", "models--o--n/snapshots/c/config.json", "secret"});
  const fs::path snapshot = folder.dir / "models--o--n/snapshots/c";
  fs::create_symlink("../../blobs/b", snapshot / "blob");
  fs::create_symlink("../../../secret", snapshot / "secret");
  EXPECT_EQ(resolve_inside(snapshot, "blob"), snapshot / "blob");
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { resolve_inside(snapshot, "secret"); }),
                    "a link that leaves"));
}

}  // namespace
}  // namespace suture::format
