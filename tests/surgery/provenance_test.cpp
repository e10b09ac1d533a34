#include "surgery/provenance.h"

#include <string>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/version.h"

#include "format/json.h"
#include "support/temp_dir.h"

namespace suture {
namespace {

using format::Json;

Compatibility findings() {
  Compatibility compatibility;
  compatibility.findings = {{Severity::kWarning, "rope", "differs", "", ""},
                            {Severity::kNote, "dtypes", "harmless", "", ""}};
  return compatibility;
}

TEST(Provenance, TellsFormulaTargetSourcesAndWarnings) {
  const Compatibility compatibility = findings();
  StateDict weights;
  weights.set("w", at::ones({1}));
  Provenance made;
  made.formula = "target + 0.5 * v";
  made.target = "target";
  made.sources = {make_source(weights, "mine")};
  made.dtype = Dtype::kBF16;
  made.mapped_rows = 7;
  made.computed_tensors = 3;
  made.left_out = {"x (tied)"};
  made.compatibility = &compatibility;
  const Json json = Json::parse(to_json_text(made));
  EXPECT_EQ(json["formula"], "target + 0.5 * v");
  EXPECT_EQ(json["made_by"], std::string("suture ") + kVersion);
  EXPECT_EQ(json["sources"][0]["name"], "mine");
  EXPECT_EQ(json["dtype"], "BF16");
  EXPECT_EQ(json["mapped_rows"], 7);
  EXPECT_EQ(json["computed_tensors"], 3);
  EXPECT_EQ(json["left_out"][0], "x (tied)");
  ASSERT_EQ(json["warnings"].size(), 1u);
  EXPECT_EQ(json["warnings"][0]["topic"], "rope");
  EXPECT_EQ(to_json_text(made), to_json_text(made));
}

TEST(Provenance, TakesNamesOfAnyBytes) {
  const Compatibility compatibility;
  Provenance made;
  made.target =
      "a\xFF"
      "b";
  made.compatibility = &compatibility;
  EXPECT_FALSE(Json::parse(to_json_text(made)).empty());
}

TEST(ConfigWithDtype, ChangesTheDtypeAndKeepsOrderAndNumbers) {
  const test::TempDir dir;
  test::write_file(dir / "config.json",
                   "{\"z\": 1e-06, \"torch_dtype\": \"bfloat16\", \"a\": [1000000.0, 7]}");
  EXPECT_EQ(config_with_dtype(dir.path(), Dtype::kF32),
            "{\n  \"z\": 1e-06,\n  \"torch_dtype\": \"float32\",\n  \"a\": [\n    1000000.0,\n"
            "    7\n  ]\n}\n");
}

TEST(ConfigWithDtype, UsesTheSpellingThatIsThere) {
  const test::TempDir dir;
  const auto with = [&](const char* text, Dtype dtype) {
    test::write_file(dir / "config.json", text);
    return Json::parse(config_with_dtype(dir.path(), dtype));
  };
  EXPECT_EQ(with("{\"dtype\":\"x\"}", Dtype::kBF16), Json({{"dtype", "bfloat16"}}));
  EXPECT_EQ(with("{\"torch_dtype\":\"x\"}", Dtype::kF16), Json({{"torch_dtype", "float16"}}));
  EXPECT_EQ(with("{}", Dtype::kF64), Json({{"torch_dtype", "float64"}}));
}

}  // namespace
}  // namespace suture
