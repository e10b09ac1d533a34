// What the program makes of its command line: every slip is one line on stderr and exit status 2.

#include <cctype>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::ended_with;
using test::holds;
using test::Invocation;
using test::Outcome;
using test::run_program;
using test::was_refused;

class Arguments : public test::ModelFamily {
 protected:
  // The options of extract and inject that name an output.
  std::vector<std::string> extract_with(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"extract", "tuned", "base", "-o", "new.safetensors"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> inject_with(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"inject", "target", "-o", "new"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

// --- Commands and flags
// ---------------------------------------------------------------------------

TEST(Overview, IsPrintedWithoutACommand) {
  const Outcome outcome = run_program({});
  EXPECT_TRUE(ended_with(outcome, 2));
  EXPECT_EQ(outcome.out, "");
  for (const char* command : {"suture check", "suture extract", "suture inject", "suture analyze"})
    EXPECT_TRUE(holds(outcome.err, command));
}

TEST(Overview, IsDataWhenAskedFor) {
  for (const char* flag : {"--help", "-h", "help"}) {
    const Outcome outcome = run_program({{flag}});
    EXPECT_TRUE(ended_with(outcome, 0));
    EXPECT_EQ(outcome.err, "");
    EXPECT_TRUE(holds(outcome.out, "suture extract TUNED BASE -o VECTOR"));
  }
}

TEST(Version, IsOneLine) {
  const Outcome outcome = run_program({{"--version"}});
  EXPECT_TRUE(ended_with(outcome, 0));
  EXPECT_EQ(outcome.out.rfind("suture ", 0), 0u);
  EXPECT_EQ(outcome.out.find('\n'), outcome.out.size() - 1);
}

TEST(Command, MistypedIsRefusedWithASuggestion) {
  EXPECT_TRUE(was_refused(run_program({{"extrct", "a", "b"}}), "did you mean 'extract'?"));
  EXPECT_TRUE(was_refused(run_program({{"injection"}}), "no command 'injection'"));
}

TEST(Command, OfControlCharactersIsShownEscaped) {
  EXPECT_TRUE(was_refused(run_program({{"\x1B[31mred\n"}}), "\\x1B[31mred\\x0A"));
}

TEST(Flag, MistypedIsRefusedWithASuggestion) {
  EXPECT_TRUE(
      was_refused(run_program({{"inject", "--dtipe", "f32", "a", "b"}}), "did you mean 'dtype'?"));
  EXPECT_TRUE(
      was_refused(run_program({{"check", "--vocabulary", "same", "a", "b"}}), "vocabulary"));
}

TEST(Flag, OfAnotherCommandIsRefused) {
  EXPECT_TRUE(was_refused(run_program({{"check", "a", "b", "--scale", "1"}}), "scale"));
  EXPECT_TRUE(was_refused(run_program({{"extract", "a", "b", "--scale", "1"}}), "scale"));
}

TEST(Flag, WithoutItsValueIsRefused) {
  EXPECT_TRUE(was_refused(run_program({{"inject", "a", "b", "--scale"}}), "scale"));
  EXPECT_TRUE(was_refused(run_program({{"extract", "a", "b", "-o"}}), "o"));
}

TEST(Help, ListsEveryOption) {
  const std::vector<std::string> common{"--json", "--quiet", "--device", "--seed"};
  const std::vector<std::string> surgery{"--output", "--only",    "--except",         "--dtype",
                                         "--vocab",  "--allow",   "--max-shard-size", "--threads",
                                         "--memory", "--dry-run", "--explain",        "--force"};
  const std::map<std::string, std::vector<std::string>> more{
      {"check", {"--vocab", "--allow"}},
      {"extract", surgery},
      {"inject", surgery},
      {"analyze",
       {"--only", "--except", "--base", "--threads", "--memory", "--csv", "--ascii", "--color"}}};
  for (const auto& [command, options] : more) {
    const Outcome outcome = run_program({{command, "--help"}});
    EXPECT_TRUE(ended_with(outcome, 0)) << command;
    EXPECT_EQ(outcome.err, "");
    EXPECT_TRUE(holds(outcome.out, "usage: suture " + command));
    for (const auto& list : {common, options}) {
      for (const std::string& option : list) EXPECT_TRUE(holds(outcome.out, option)) << command;
    }
  }
  EXPECT_TRUE(holds(run_program({{"inject", "--help"}}).out, "--scale"));
}

// The options that a help text lists, each with a value behind it where it takes one.
std::vector<std::string> options_in(const std::string& help) {
  std::vector<std::string> options;
  for (std::size_t at = help.find("options\n"); (at = help.find(" --", at)) != std::string::npos;) {
    const std::size_t end = help.find(' ', at + 1);
    options.push_back(help.substr(at + 1, end - at - 1));
    if (std::isupper(static_cast<unsigned char>(help[end + 1]))) options.push_back("x");
    at = end;
  }
  return options;
}

// Whatever help lists is taken, so help and parser cannot drift apart.
TEST(Help, ListsOnlyWhatIsTaken) {
  for (const std::string command : {"check", "extract", "inject", "analyze"}) {
    std::vector<std::string> arguments = options_in(run_program({{command, "--help"}}).out);
    EXPECT_GE(arguments.size(), 8u) << command;
    arguments.insert(arguments.begin(), command);
    const Outcome outcome = run_program({arguments});
    EXPECT_TRUE(ended_with(outcome, 2));
    EXPECT_EQ(outcome.err.find("does not exist"), std::string::npos) << outcome.err;
  }
}

TEST(Arity, IsChecked) {
  EXPECT_TRUE(was_refused(run_program({{"check", "a"}}), "1 argument; expected suture check A B"));
  EXPECT_TRUE(was_refused(run_program({{"extract", "a", "b", "c"}}), "3 arguments"));
  EXPECT_TRUE(was_refused(run_program({{"inject", "a"}}), "1 argument"));
  EXPECT_TRUE(was_refused(run_program({{"analyze"}}), "0 arguments"));
}

// --- Values
// ---------------------------------------------------------------------------------------

TEST_F(Arguments, ScaleMustBeAFiniteNumber) {
  make_vector();
  for (const std::string scale : {"nan", "inf", "-inf", "1e999", "abc", "", "1,5", "0x10", "1 "}) {
    EXPECT_TRUE(refuses(inject_with({"v.safetensors", "--scale", scale}), "scale")) << scale;
  }
}

TEST_F(Arguments, ScaleBehindAVectorMustBeAFiniteNumber) {
  make_vector();
  for (const std::string scale : {"nan", "inf", "-inf", "1e999", "+-1", "1e", "."})
    EXPECT_TRUE(refuses(inject_with({"v.safetensors@" + scale}), "scale behind @")) << scale;
  // What is no number may be a revision, and is looked for as a part of the name.
  for (const std::string scale : {"abc", "", "0x10"})
    EXPECT_TRUE(refuses(inject_with({"v.safetensors@" + scale}), "v.safetensors@" + scale));
}

TEST_F(Arguments, NegativeScaleIsNoFlag) {
  make_vector();
  ASSERT_TRUE(ended_with(
      run({"inject", "target", "v.safetensors", "--scale", "-0.5", "-o", "a", "--quiet"}), 0));
  ASSERT_TRUE(ended_with(run({"inject", "target", "v.safetensors@-0.5", "-o", "b", "--quiet"}), 0));
  const auto weights = [&](const char* name) {
    return test::read_file(dir_ / name / "model.safetensors");
  };
  EXPECT_EQ(weights("a"), weights("b"));
  EXPECT_NE(weights("a"), test::read_file(dir_ / "target" / "model.safetensors"));
}

TEST_F(Arguments, SelectionErrorsNameTheMistake) {
  const std::vector<std::pair<std::string, std::string>> mistakes{
      {"layer=5-3", "'5-3' is not a range of layers"},
      {"layer=-1", "'-1'"},
      {"layer=0-9999", "layers 0 to 1"},
      {"layer=a", "'a' is not a range of layers"},
      {"layer=99999999999999999999", "99999999999999999999"},
      {"layer=", "nothing after 'layer='"},
      {"layer=0 &", "character"},
      {"(layer=0", "closing )"},
      {"block=attn", "no block is called 'attn'"},
      {"color=red", "unknown condition 'color='"},
      {"re=(", "not a regular expression"},
      {"banana", "expected a condition"}};
  for (const auto& [selection, named] : mistakes)
    EXPECT_TRUE(refuses(extract_with({"--only", selection}), named)) << selection;
}

TEST_F(Arguments, SelectionOfNothingListsNearNames) {
  EXPECT_TRUE(refuses(extract_with({"--only", "module=qproj"}), "did you mean 'q_proj'"));
  EXPECT_TRUE(refuses(extract_with({"--only", "name=model.embed_token.weight"}),
                      "'model.embed_tokens.weight'"));
  make_vector();
  EXPECT_TRUE(refuses(inject_with({"v.safetensors", "--only", "name=model.norms.weight"}),
                      "'model.norm.weight'"));
  EXPECT_TRUE(
      refuses({"analyze", "v.safetensors", "--only", "module=qproj"}, "did you mean 'q_proj'"));
}

TEST_F(Arguments, CatastrophicPatternIsStopped) {
  EXPECT_TRUE(
      refuses(extract_with({"--only", R"(re=^(([a-z_.])+[._]?)+[!;]$)"}), "takes too long"));
  EXPECT_TRUE(
      refuses(extract_with({"--only", "re=" + std::string(200, '(')}), "regular expression"));
}

TEST_F(Arguments, ThreadsAreBounded) {
  for (const std::string threads : {"0", "-1", "100000", "two", "1.5", ""})
    EXPECT_TRUE(refuses(extract_with({"--threads", threads}), "--threads")) << threads;
}

TEST_F(Arguments, SizesAreBounded) {
  for (const std::string size : {"0", "-5", "5 GB", "1e9", "GB", "99999999999999999999GB", ""})
    EXPECT_TRUE(refuses(extract_with({"--max-shard-size", size}), "--max-shard-size")) << size;
  EXPECT_TRUE(refuses(extract_with({"--memory", "0"}), "--memory"));
}

TEST_F(Arguments, OtherValuesAreChecked) {
  EXPECT_TRUE(refuses(extract_with({"--dtype", "int4"}), "--dtype 'int4'"));
  EXPECT_TRUE(refuses(extract_with({"--vocab", "mine"}), "--vocab 'mine'"));
  EXPECT_TRUE(refuses(extract_with({"--allow", "tokeniser"}), "did you mean 'tokenizer'?"));
  EXPECT_TRUE(refuses(extract_with({"--allow", "shapes"}), "--allow 'shapes'"));
  EXPECT_TRUE(refuses(extract_with({"--device", "tpu"}), "--device 'tpu'"));
  EXPECT_TRUE(refuses(extract_with({"--device", "cuda:99"}), "cuda"));
  EXPECT_TRUE(refuses(extract_with({"--seed", "-1"}), "--seed"));
  EXPECT_TRUE(refuses(inject_with({"v.safetensors", "--round", "up"}), "--round 'up'"));
}

TEST_F(Arguments, AValueGivenTwiceIsRefused) {
  EXPECT_TRUE(refuses(extract_with({"--dtype", "f32", "--dtype", "f64"}), "--dtype 2 times"));
  EXPECT_TRUE(refuses(extract_with({"-o", "other.safetensors"}), "--output 2 times"));
}

TEST_F(Arguments, AnOutputIsAsked) {
  EXPECT_TRUE(refuses({"extract", "tuned", "base"}, "-o PATH"));
  make_vector();
  EXPECT_TRUE(refuses({"inject", "target", "v.safetensors"}, "-o PATH"));
}

// --- Names
// ----------------------------------------------------------------------------------------

TEST_F(Arguments, AtFileIsTakenLiterally) {
  test::write_file(dir_ / "list", "tuned\nbase\n");
  begin_here();
  EXPECT_TRUE(refuses({"check", "@list", "base"}, "@list"));
  std::filesystem::copy(dir_ / "tuned", dir_ / "@list");
  EXPECT_TRUE(ended_with(run({"check", "@list", "base"}), 0));
}

TEST_F(Arguments, OddNamesAreNames) {
  for (const std::string name :
       {"with space", "new\nline", "\xC3\xBC\xE6\xBC\xA2", "comma,separated", "qu'ot\"ed", "a=b*",
        "a - b", "(in brackets)", " blank ends "}) {
    std::filesystem::copy(dir_ / "tuned", dir_ / name);
    const std::string vector = name + ".safetensors", out = name + ".out";
    EXPECT_TRUE(ended_with(run({"extract", name, "base", "-o", vector, "--quiet"}), 0));
    EXPECT_TRUE(ended_with(run({"inject", "base", vector + "@1", "-o", out, "--quiet"}), 0));
    EXPECT_EQ(test::read_file(dir_ / out / "model.safetensors"),
              test::read_file(dir_ / "tuned" / "model.safetensors"));
  }
  const Outcome analysis = run({"analyze", "new\nline", "a - b"});
  EXPECT_TRUE(ended_with(analysis, 0));
  EXPECT_TRUE(holds(analysis.out, "new\\x0Aline - a - b: norm 0"));
}

TEST_F(Arguments, NamesThatAreNotUtf8Work) {
  const std::string name = "latin-\xFC";
  std::filesystem::copy(dir_ / "tuned", dir_ / name);
  EXPECT_TRUE(ended_with(run({"check", name, "base", "--json", "-"}), 0));
  EXPECT_TRUE(
      ended_with(run({"extract", name, "base", "-o", name + ".safetensors", "--json", "-"}), 0));
  EXPECT_TRUE(ended_with(
      run({"inject", "base", name + ".safetensors", "-o", name + ".out", "--json", "-"}), 0));
  EXPECT_TRUE(ended_with(run({"analyze", name + ".safetensors", "--json", "-"}), 0));
}

TEST_F(Arguments, ALeadingDashIsANameBehindTwoDashes) {
  std::filesystem::copy(dir_ / "tuned", dir_ / "-tuned");
  EXPECT_TRUE(ended_with(run({"check", "--quiet", "--", "-tuned", "base"}), 0));
  begin_here();
  EXPECT_TRUE(refuses({"check", "-tuned", "base"}, "does not exist"));
}

TEST_F(Arguments, VeryLongNamesAreRefused) {
  const std::string longer_than_a_path(5000, 'x'), longer_than_a_name(300, 'y');
  for (const std::string& name : {longer_than_a_path, longer_than_a_name}) {
    EXPECT_TRUE(refuses({"check", name, "base"}, "File name too long"));
    EXPECT_TRUE(refuses({"extract", "tuned", "base", "-o", name}, "File name too long"));
    EXPECT_TRUE(refuses({"extract", "tuned", "base", "-o", "a/" + name}, ""));
  }
  std::string deep;
  while (deep.size() < 5000) deep += "folder/";
  EXPECT_TRUE(refuses({"extract", "tuned", "base", "-o", deep + "v.safetensors"}, "too long"));
}

TEST_F(Arguments, MissingInputsAreNamed) {
  EXPECT_TRUE(refuses({"check", "nowhere", "base"}, "nowhere"));
  EXPECT_TRUE(refuses({"check", "", "base"}, ""));
  EXPECT_TRUE(refuses({"inject", "target", "", "-o", "new"}, "vector argument ''"));
  EXPECT_TRUE(refuses({"inject", "target", "tuned - ", "-o", "new"}, "tuned -"));
  EXPECT_TRUE(refuses({"inject", "target", "tuned", "-o", "new"}, "a model, not a task vector"));
  EXPECT_TRUE(refuses({"analyze", "tuned"}, "a model, not a task vector"));
}

}  // namespace
}  // namespace suture
