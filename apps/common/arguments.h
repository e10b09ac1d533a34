#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "suture/ablation.h"
#include "suture/checkpoint.h"
#include "suture/compatibility.h"
#include "suture/run_options.h"
#include "suture/selection.h"
#include "suture/task_vector.h"

namespace suture::apps {

/// One command as the user sees it: what its help says and which options it takes.
struct CommandSpec {
  std::string name;
  std::string usage;                  ///< `inject TARGET VECTOR[@SCALE]... -o OUT`
  std::string summary;                ///< One line for the list of commands.
  std::string description;            ///< What the help says below the usage.
  std::vector<std::string> examples;  ///< Two lines that can be copied.
  std::vector<std::string> options;   ///< Names out of the one table of options (arguments.cpp).
  std::size_t min_arguments = 1;
  std::size_t max_arguments = 1000;
};

/// When to draw in colours: on a terminal that has them and is not asked to do without, or whatever
/// stdout is.
enum class ColourChoice { kAuto, kAlways, kNever };

/// A parsed command line. Every value has been checked; a bad one was thrown as UsageError.
struct Arguments {
  std::vector<std::string> command_line;  ///< Every word behind `suture`, as given.
  std::vector<std::string> positional;
  std::string output;
  Selection only;
  double scale = 1;
  std::optional<Dtype> dtype;
  std::optional<std::uint64_t> max_shard_bytes;
  std::string base, target, json, csv, html;
  std::vector<std::string> explain;  ///< Tensors to explain: names or globs.
  std::optional<std::uint64_t> seed;
  std::string device = "cpu";  ///< `cpu`, `cuda` or `cuda:N`, which has been seen to be there.
  std::size_t batch_size = 0;  ///< Sequences at once; 0: as many as are quick.
  std::optional<std::uint16_t> port;
  bool stochastic = false;
  bool quiet = false, force = false, dry_run = false, ascii = false, sparse = false;
  bool spectrum = false;
  std::optional<std::int64_t> rank;  ///< Of spectra.
  std::optional<std::int64_t> lora;  ///< Rank of an adapter.
  std::optional<double> energy;      ///< That an adapter keeps.
  bool low_rank_embeddings = false;
  bool decode = false, special = false, json_lines = false, chat = false;
  std::string prompt;  ///< Answered as a sample.
  ColourChoice colour = ColourChoice::kAuto;
  std::vector<std::string> tasks;               ///< Task files to score on.
  AblationPlan plan;                            ///< Which arms an ablation has.
  std::vector<double> scales;                   ///< Of a sweep.
  std::string eval_command;                     ///< Scores models instead of --task.
  std::optional<std::uint64_t> limit;           ///< Records of each task.
  std::optional<std::uint64_t> max_new_tokens;  ///< Instead of the task's.
  std::string system_instruction;               ///< Stands in the system message.
  bool apply_chat_template = false, ignore_unknown_settings = false;
  bool add_bos = false, score_targets = false, write_completions = false;
  CheckOptions check;
  RunOptions run;
};

/// Parses what follows the command's name. Throws UsageError; nothing when help was asked for.
std::optional<Arguments> parse_arguments(const CommandSpec& spec, int argc, char** argv);

/// The command's help, from the same table that parses.
std::string help_text(const CommandSpec& spec);

/// A vector argument: `VECTOR`, `TUNED - BASE` or `(TUNED - BASE)`, each with `@SCALE` behind it.
/// VECTOR and TUNED may be LoRA adapters.
struct VectorArgument {
  std::string name;  ///< As the user wrote it, without the scale.
  std::string minuend, subtrahend;
  double scale = 1;
};
VectorArgument parse_vector_argument(const std::string& text);

/// Opens what the argument names, unscaled.
TaskVector open_vector(const VectorArgument& argument);

/// The sum of the vectors behind the first argument, each with the scale behind its @, in the order
/// written, on the tensors that --only and --except leave.
TaskVector sum_of_vectors(const Arguments& arguments);

/// A finite number. Throws UsageError naming `what`.
double parse_number(const std::string& text, const std::string& what);

/// Bytes with an optional unit: `4096`, `512M`, `2GiB`, `5GB`. Throws UsageError naming `what`.
std::uint64_t parse_bytes(const std::string& text, const std::string& what);

}  // namespace suture::apps
