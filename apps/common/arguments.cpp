#include "common/arguments.h"

// Paths may hold commas: no splitting.
#define CXXOPTS_VECTOR_DELIMITER '\0'
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <functional>
#include <system_error>
#include <utility>

#include <cxxopts.hpp>

#include "suture/error.h"

#include "core/cuda_driver.h"
#include "core/nearest_name.h"
#include "lora/adapter_source.h"

namespace suture::apps {
namespace {

[[noreturn]] void refuse(const std::string& found, const std::string& expected,
                         const std::string& remedy = {}) {
  throw UsageError({{}, {}, found, expected, remedy});
}

std::uint64_t parse_count(const std::string& text, const std::string& what, std::uint64_t first,
                          std::uint64_t last) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < first || value > last) {
    refuse(what + " '" + printable(text) + "'",
           "a whole number from " + std::to_string(first) + " to " + std::to_string(last));
  }
  return value;
}

void parse_allowed(const std::string& text, std::set<std::string>& allowed) {
  const auto& topics = compatibility_topics();
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string topic = text.substr(begin, end - begin);
    const bool known = std::find(topics.begin(), topics.end(), topic) != topics.end();
    if (!known || topic == "shapes" || topic == "vocabulary") {
      refuse("--allow '" + printable(topic) + "'",
             "a topic that `suture check` named, but shapes or vocabulary",
             did_you_mean(topic, topics));
    }
    allowed.insert(topic);
    begin = end + 1;
  }
}

HeadPolicy parse_head(const std::string& text) {
  if (text == "same") return HeadPolicy::kSame;
  if (text == "embedding") return HeadPolicy::kEmbedding;
  refuse("--head '" + printable(text) + "'", "same or embedding");
}

VocabularyPolicy parse_vocabulary(const std::string& text) {
  if (text == "same") return VocabularyPolicy::kSame;
  if (text == "common") return VocabularyPolicy::kCommon;
  refuse("--vocab '" + printable(text) + "'", "same or common");
}

// Moving file bytes has no use for a GPU; a device that is not there is an error all the same.
void check_device(const std::string& text) {
  const bool is_cuda = text.rfind("cuda:", 0) == 0;
  if (text != "cpu" && text != "cuda" && !is_cuda)
    refuse("--device '" + printable(text) + "'", "cpu, cuda or cuda:N");
  if (text == "cpu") return;
  const std::uint64_t index = is_cuda ? parse_count(text.substr(5), "--device cuda:", 0, 127) : 0;
  const int devices = cuda_device_count();
  if (index >= static_cast<std::uint64_t>(devices)) {
    throw UsageError({{},
                      {},
                      "no device " + text + " (" + std::to_string(devices) + " CUDA devices)",
                      {},
                      "use --device cpu"});
  }
}

// Calls `take` with each part of a list with commas.
void for_each_part(const std::string& text, const std::function<void(const std::string&)>& take) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    take(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

// One of `names`, by its place.
std::size_t parse_word(const std::string& text, const std::string& what,
                       const std::vector<std::string>& names) {
  const auto at = std::find(names.begin(), names.end(), text);
  if (at == names.end()) {
    std::string listed;
    for (const std::string& name : names) listed += (listed.empty() ? "" : ", ") + name;
    refuse(what + " '" + printable(text) + "'", listed, did_you_mean(text, names));
  }
  return static_cast<std::size_t>(at - names.begin());
}

// `none`, or designs with commas between them.
void parse_designs(const std::string& text, std::vector<AblationDesign>& designs) {
  designs.clear();
  if (text == "none") return;
  for_each_part(text, [&](const std::string& part) {
    designs.push_back(static_cast<AblationDesign>(
        parse_word(part, "--design", {"leave-one-out", "only-one", "bottom-up", "top-down"})));
  });
}

void parse_units(const std::string& text, std::vector<AblationUnit>& units) {
  units.clear();
  for_each_part(text, [&](const std::string& part) {
    units.push_back(
        static_cast<AblationUnit>(parse_word(part, "--by", {"layer", "block", "module"})));
  });
}

void parse_scales(const std::string& text, std::vector<double>& scales) {
  for_each_part(text, [&](const std::string& part) {
    scales.push_back(parse_number(part, "a scale of --scales"));
  });
}

// One option: how help shows it and what its value does.
struct OptionSpec {
  const char* flags;     // as cxxopts takes them
  const char* argument;  // empty for a switch
  const char* help;
  std::function<void(Arguments&, const std::string&)> apply;
};

const std::map<std::string, OptionSpec>& option_table() {
  using A = Arguments;
  using S = const std::string&;
  static const std::map<std::string, OptionSpec> table{
      {"output",
       {"o,output", "PATH", "where to write: NAME.safetensors for one file, else a folder",
        [](A& a, S v) { a.output = v; }}},
      {"only",
       {"only", "SELECTION", "use only these tensors, such as 'layer=8-20 & block=mlp'",
        [](A& a, S v) { a.only = a.only & Selection::parse(v); }}},
      {"except",
       {"except", "SELECTION", "use all but these tensors",
        [](A& a, S v) { a.only = a.only & !Selection::parse(v); }}},
      {"scale",
       {"scale", "S", "multiply every vector by S",
        [](A& a, S v) { a.scale = parse_number(v, "--scale"); }}},
      {"dtype",
       {"dtype", "DTYPE", "dtype of the output, or that a model computes in: bf16, f16, f32 or f64",
        [](A& a, S v) {
          a.dtype = computable_dtype_from_user(v);
          if (!a.dtype) refuse("--dtype '" + printable(v) + "'", "bf16, f16, f32 or f64");
        }}},
      {"sparse",
       {"sparse", "", "store mostly-zero tensors as a bitmap and their values",
        [](A& a, S) { a.sparse = true; }}},
      {"base",
       {"base", "MODEL", "the model that norms are relative to", [](A& a, S v) { a.base = v; }}},
      {"target",
       {"target", "MODEL", "tell what rounding would leave of the vectors in this model",
        [](A& a, S v) { a.target = v; }}},
      {"vocab",
       {"vocab", "POLICY", "same (default), or common: match rows by token text",
        [](A& a, S v) { a.check.vocabulary = parse_vocabulary(v); }}},
      {"head",
       {"head", "POLICY",
        "same (default), or embedding: a head of its own gets the change of tied donors' embedding",
        [](A& a, S v) { a.check.head = parse_head(v); }}},
      {"allow",
       {"allow", "TOPIC,...", "go on in spite of these findings of `suture check`",
        [](A& a, S v) { parse_allowed(v, a.check.allowed); }}},
      {"max-shard-size",
       {"max-shard-size", "BYTES", "split the output into files of at most this size (5GB)",
        [](A& a, S v) { a.max_shard_bytes = parse_bytes(v, "--max-shard-size"); }}},
      {"device",
       {"device", "DEVICE",
        "where a model runs, or spectra are computed: cpu (default), cuda or cuda:N",
        [](A& a, S v) {
          check_device(v);
          a.device = v;
        }}},
      {"task",
       {"task", "FILE", "a task to score on; may be given several times",
        [](A& a, S v) { a.tasks.push_back(v); }}},
      {"limit",
       {"limit", "N", "score only the first N records of each task",
        [](A& a, S v) { a.limit = parse_count(v, "--limit", 1, UINT32_MAX); }}},
      {"prompt",
       {"prompt", "TEXT", "the prompt that a sample answers (default: the task's first)",
        [](A& a, S v) { a.prompt = v; }}},
      {"batch",
       {"batch", "N", "sequences at once (default: as many as are quick)",
        [](A& a, S v) { a.batch_size = parse_count(v, "--batch", 1, 65536); }}},
      {"max-new-tokens",
       {"max-new-tokens", "N", "tokens to generate at most, instead of the task's",
        [](A& a, S v) { a.max_new_tokens = parse_count(v, "--max-new-tokens", 1, 1 << 20); }}},
      {"add-bos",
       {"add-bos", "", "encode with the special tokens that the tokenizer's template adds",
        [](A& a, S) { a.add_bos = true; }}},
      {"apply-chat-template",
       {"apply-chat-template", "", "put prompts into the form of the model's chat template",
        [](A& a, S) { a.apply_chat_template = true; }}},
      {"ignore-unknown-settings",
       {"ignore-unknown-settings", "", "run a model whose config.json says more than is known",
        [](A& a, S) { a.ignore_unknown_settings = true; }}},
      {"system-instruction",
       {"system-instruction", "TEXT", "with --apply-chat-template: what the system message says",
        [](A& a, S v) { a.system_instruction = v; }}},
      {"score-targets",
       {"score-targets", "", "for generation: also score the targets themselves",
        [](A& a, S) { a.score_targets = true; }}},
      {"write-completions",
       {"write-completions", "", "with -o: completions by task_id, for a program that runs code",
        [](A& a, S) { a.write_completions = true; }}},
      {"port",
       {"port", "N",
        "TCP port on 127.0.0.1 (default: 8000, for explore a free one); 0 takes a free one",
        [](A& a, S v) {
          a.port = static_cast<std::uint16_t>(parse_count(v, "--port", 0, 65535));
        }}},
      {"scales",
       {"scales", "S,...", "the scales to try, such as 0,0.25,0.5,1",
        [](A& a, S v) { parse_scales(v, a.scales); }}},
      {"design",
       {"design", "NAME,...", "leave-one-out (default), only-one, bottom-up, top-down; or none",
        [](A& a, S v) { parse_designs(v, a.plan.designs); }}},
      {"by",
       {"by", "UNIT,...", "what is left out or kept at a time: layer (default), block, module",
        [](A& a, S v) { parse_units(v, a.plan.units); }}},
      {"arm",
       {"arm", "SELECTION", "one more arm: the vector on these tensors; may be given several times",
        [](A& a, S v) { a.plan.selections.push_back(Selection::parse(v)); }}},
      {"no-controls",
       {"no-controls", "", "leave out the negated, random and permuted vectors",
        [](A& a, S) { a.plan.controls.enabled = false; }}},
      {"random-seeds",
       {"random-seeds", "N", "random vectors with each tensor's norm (default: 3)",
        [](A& a, S v) {
          a.plan.controls.random_seeds = parse_count(v, "--random-seeds", 0, 1000);
        }}},
      {"permutations",
       {"permutations", "N", "vectors with their layers in another order (default: 1)",
        [](A& a, S v) {
          a.plan.controls.permutations = parse_count(v, "--permutations", 0, 1000);
        }}},
      {"eval-cmd",
       {"eval-cmd", "COMMAND",
        "score with a program outside: {model} stands for the folder, scores are its last line",
        [](A& a, S v) { a.eval_command = v; }}},
      {"spectrum",
       {"spectrum", "",
        "also singular values, ranks, subspaces and masks of every matrix; takes longer",
        [](A& a, S) { a.spectrum = true; }}},
      {"rank",
       {"rank", "K", "with --spectrum: leading singular values and directions (default: 32)",
        [](A& a, S v) { a.rank = static_cast<std::int64_t>(parse_count(v, "--rank", 1, 4096)); }}},
      {"lora",
       {"lora", "RANK", "write an adapter for PEFT, with matrices of at most this rank",
        [](A& a, S v) { a.lora = static_cast<std::int64_t>(parse_count(v, "--lora", 1, 65536)); }}},
      {"energy",
       {"energy", "E",
        "write an adapter; each matrix gets the rank that keeps this share of its square",
        [](A& a, S v) {
          a.energy = parse_number(v, "--energy");
          if (!(*a.energy > 0 && *a.energy <= 1))
            refuse("--energy " + printable(v), "more than 0 and at most 1");
        }}},
      {"low-rank-embeddings",
       {"low-rank-embeddings", "",
        "with --lora: factors for embedding and head, too, not all of them",
        [](A& a, S) { a.low_rank_embeddings = true; }}},
      {"threads",
       {"threads", "N", "worker threads (default: one per core)",
        [](A& a, S v) {
          a.run.threads = static_cast<unsigned>(parse_count(v, "--threads", 1, 1024));
        }}},
      {"memory",
       {"memory", "BYTES", "memory for buffers (default: 512MiB)",
        [](A& a, S v) { a.run.memory_budget_bytes = parse_bytes(v, "--memory"); }}},
      {"seed",
       {"seed", "N", "seed for what is random in a command (default: 0)",
        [](A& a, S v) { a.seed = parse_count(v, "--seed", 0, UINT64_MAX); }}},
      {"round",
       {"round", "HOW", "nearest (default), or stochastic: at random, right on average",
        [](A& a, S v) {
          if (v != "nearest" && v != "stochastic")
            refuse("--round '" + printable(v) + "'", "nearest or stochastic");
          a.stochastic = v == "stochastic";
        }}},
      {"json",
       {"json", "FILE", "write the result as JSON to FILE, or - for stdout",
        [](A& a, S v) { a.json = v; }}},
      {"csv",
       {"csv", "FILE", "write the result as CSV to FILE, or - for stdout",
        [](A& a, S v) { a.csv = v; }}},
      {"html",
       {"html", "FILE", "write the result as an interactive page to FILE, which needs nothing else",
        [](A& a, S v) { a.html = v; }}},
      {"quiet", {"q,quiet", "", "say nothing but errors", [](A& a, S) { a.quiet = true; }}},
      {"dry-run",
       {"dry-run", "", "check everything and say what would be done; write nothing",
        [](A& a, S) { a.dry_run = true; }}},
      {"explain",
       {"explain", "NAME",
        "with --dry-run: where this tensor comes from; a name, or a pattern with *",
        [](A& a, S v) { a.explain.push_back(v); }}},
      {"decode", {"decode", "", "read ids, write text", [](A& a, S) { a.decode = true; }}},
      {"special",
       {"special", "",
        "add the special tokens of the tokenizer's own template; with --decode, show them",
        [](A& a, S) { a.special = true; }}},
      {"json-lines",
       {"json-lines", "", "each line of text is a JSON string, for text with line ends",
        [](A& a, S) { a.json_lines = true; }}},
      {"chat",
       {"chat", "", "each line is a JSON list of messages {role, content}: ids of the prompt",
        [](A& a, S) { a.chat = true; }}},
      {"force", {"force", "", "replace an existing output", [](A& a, S) { a.force = true; }}},
      {"ascii",
       {"ascii", "", "draw bars and maps with plain characters", [](A& a, S) { a.ascii = true; }}},
      {"color",
       {"color", "WHEN", "auto (default): colours on a terminal that has them; always, or never",
        [](A& a, S v) {
          a.colour =
              static_cast<ColourChoice>(parse_word(v, "--color", {"auto", "always", "never"}));
        }}},
  };
  return table;
}

cxxopts::Options make_parser(const CommandSpec& spec) {
  cxxopts::Options parser("suture " + spec.name);
  auto add = parser.add_options();
  for (const std::string& name : spec.options) {
    const OptionSpec& option = option_table().at(name);
    if (*option.argument == '\0') {
      add(option.flags, option.help, cxxopts::value<bool>());
    } else {
      add(option.flags, option.help, cxxopts::value<std::vector<std::string>>());
    }
  }
  add("h,help", "this help", cxxopts::value<bool>());
  add("positional", "", cxxopts::value<std::vector<std::string>>());
  parser.parse_positional("positional");
  return parser;
}

std::string suggestion_for(const std::string& message, const CommandSpec& spec) {
  const auto begin = message.find_first_of("'\xE2"), dashes = message.find("--");
  std::string typed = message;
  if (begin == std::string::npos && dashes == std::string::npos) return {};
  typed.erase(std::remove_if(typed.begin(), typed.end(), [](unsigned char c) { return c > 127; }),
              typed.end());
  std::string word;
  for (const std::string& part : {std::string("Option "), std::string("Argument ")}) {
    if (const auto at = typed.find(part); at != std::string::npos)
      word = typed.substr(at + part.size(), typed.find(' ', at + part.size()) - at - part.size());
  }
  word.erase(std::remove(word.begin(), word.end(), '\''), word.end());
  return did_you_mean(word, spec.options);
}

// Asks the parser for the values of one option, in the order given; scalar ones take the last.
void apply_option(const cxxopts::ParseResult& parsed, const std::string& name,
                  Arguments& arguments) {
  const OptionSpec& option = option_table().at(name);
  if (parsed.count(name) == 0) return;
  if (*option.argument == '\0') {
    if (parsed[name].as<bool>()) option.apply(arguments, {});
    return;
  }
  const auto& values = parsed[name].as<std::vector<std::string>>();
  const bool adds_up = name == "only" || name == "except" || name == "allow" || name == "explain" ||
                       name == "task" || name == "arm";
  if (values.size() > 1 && !adds_up)
    refuse("--" + name + " " + std::to_string(values.size()) + " times", "it once");
  for (const std::string& value : values) {
    if (value.empty()) refuse("--" + name + " with nothing behind it", "a value");
    option.apply(arguments, value);
  }
}

void check_positional(const CommandSpec& spec, const Arguments& arguments) {
  const std::size_t count = arguments.positional.size();
  if (count >= spec.min_arguments && count <= spec.max_arguments) return;
  refuse(std::to_string(count) + (count == 1 ? " argument" : " arguments"), "suture " + spec.usage,
         "see `suture " + spec.name + " --help`");
}

// An adapter has no use for what shapes a stored vector.
void check_adapter(const Arguments& arguments) {
  const bool adapter = arguments.lora || arguments.energy;
  const auto refuse_with = [](const std::string& option) {
    refuse(option + " with --lora or --energy", "one or the other");
  };
  if (arguments.low_rank_embeddings && !adapter)
    refuse("--low-rank-embeddings without --lora or --energy", "both");
  if (!adapter) return;
  if (arguments.sparse) refuse_with("--sparse");
  if (arguments.max_shard_bytes) refuse_with("--max-shard-size");
  if (!arguments.explain.empty()) refuse_with("--explain");
  if (arguments.check.vocabulary != VocabularyPolicy::kSame) refuse_with("--vocab common");
}

// Splits `text@SCALE`. A revision may stand behind @ too: only a number is a scale, and 40
// hexadecimal digits are a commit even if they read as a number.
std::pair<std::string, std::optional<double>> split_scale(const std::string& text) {
  const std::size_t at = text.rfind('@');
  if (at == std::string::npos || text.size() - at > 40) return {text, std::nullopt};
  const std::string behind = text.substr(at + 1);
  const bool numeric =
      !behind.empty() && behind.find_first_not_of("0123456789+-.eE") == std::string::npos;
  const bool word = behind == "nan" || behind == "inf" || behind == "-inf";
  if (!numeric && !word) return {text, std::nullopt};
  return {text.substr(0, at), parse_number(behind, "the scale behind @")};
}

// A folder may be called `a - b`: what is there is meant, whatever else it looks like.
bool is_there(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

std::string trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? std::string()
                                    : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

}  // namespace

double parse_number(const std::string& text, const std::string& what) {
  double value = 0;
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' && text[1] != '-');
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    refuse(what + " is '" + printable(text) + "'", "a finite number");
  }
  return value;
}

std::uint64_t parse_bytes(const std::string& text, const std::string& what) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string unit = text.substr(digits);
  static const std::map<std::string, std::uint64_t> kUnits{
      {"", 1},           {"B", 1},       {"K", 1024},      {"KiB", 1024},
      {"KB", 1000},      {"kB", 1000},   {"M", 1 << 20},   {"MiB", 1 << 20},
      {"MB", 1'000'000}, {"G", 1 << 30}, {"GiB", 1 << 30}, {"GB", 1'000'000'000}};
  const auto factor = kUnits.find(unit);
  if (digits == 0 || digits > 12 || factor == kUnits.end())
    refuse(what + " '" + printable(text) + "'", "bytes such as 4096, 512MiB or 5GB");
  const std::uint64_t bytes =
      parse_count(text.substr(0, digits), what, 1, 999'999'999'999) * factor->second;
  return bytes;
}

std::string help_text(const CommandSpec& spec) {
  std::string text = "usage: suture " + spec.usage + "\n\n";
  for (const std::string& example : spec.examples) text += "  " + example + "\n";
  text += "\n" + spec.description + "\n\noptions\n";
  for (const std::string& name : spec.options) {
    const OptionSpec& option = option_table().at(name);
    const std::string flags = option.flags;
    std::string left = flags.size() > 1 && flags[1] == ','
                           ? "-" + flags.substr(0, 1) + ", --" + flags.substr(2)
                           : "    --" + flags;
    if (*option.argument != '\0') left += std::string(" ") + option.argument;
    left.resize(std::max<std::size_t>(left.size() + 1, 28), ' ');
    text += "  " + left + option.help + "\n";
  }
  return text;
}

std::optional<Arguments> parse_arguments(const CommandSpec& spec, int argc, char** argv) {
  cxxopts::Options parser = make_parser(spec);
  Arguments arguments;
  try {
    const cxxopts::ParseResult parsed = parser.parse(argc, argv);
    if (parsed.count("help") > 0) return std::nullopt;
    if (parsed.count("positional") > 0)
      arguments.positional = parsed["positional"].as<std::vector<std::string>>();
    for (const std::string& name : spec.options) apply_option(parsed, name, arguments);
  } catch (const cxxopts::exceptions::exception& error) {
    refuse(error.what(), "options of `suture " + spec.name + " --help`",
           suggestion_for(error.what(), spec));
  }
  check_positional(spec, arguments);
  if (!arguments.explain.empty() && !arguments.dry_run)
    refuse("--explain without --dry-run", "both", "add --dry-run: a plan is explained, not a run");
  if (arguments.rank && !arguments.spectrum) refuse("--rank without --spectrum", "both");
  check_adapter(arguments);
  return arguments;
}

VectorArgument parse_vector_argument(const std::string& text) {
  VectorArgument argument;
  if (is_there(text)) {
    argument.name = argument.minuend = text;
    return argument;
  }
  auto [body, scale] = split_scale(text);
  argument.scale = scale.value_or(1);
  if (is_there(body)) {
    argument.name = argument.minuend = body;
    return argument;
  }
  body = trimmed(body);
  if (body.size() > 2 && body.front() == '(' && body.back() == ')')
    body = trimmed(body.substr(1, body.size() - 2));
  argument.name = body;
  const std::size_t minus = body.find(" - ");
  argument.minuend = trimmed(body.substr(0, minus));
  if (minus != std::string::npos) argument.subtrahend = trimmed(body.substr(minus + 3));
  if (argument.minuend.empty() || (minus != std::string::npos && argument.subtrahend.empty())) {
    refuse("vector argument '" + printable(text) + "'",
           "VECTOR or 'TUNED - BASE', with @SCALE behind it");
  }
  return argument;
}

namespace {

// Only one minus is read, and only with blanks: without, it may be part of a name.
void refuse_odd_minus(const VectorArgument& argument) {
  const std::string& last = argument.subtrahend.empty() ? argument.minuend : argument.subtrahend;
  if (is_there(last)) return;
  bool is_odd = last.find(" - ") != std::string::npos;
  for (std::size_t at = last.find('-'); at != std::string::npos && !is_odd;
       at = last.find('-', at + 1))
    is_odd = is_there(trimmed(last.substr(0, at))) && is_there(trimmed(last.substr(at + 1)));
  if (is_odd)
    refuse("no file or folder '" + printable(last) + "'",
           "VECTOR or 'TUNED - BASE', with a blank on each side of one minus");
}

}  // namespace

TaskVector open_vector(const VectorArgument& argument) {
  refuse_odd_minus(argument);
  if (argument.subtrahend.empty()) return TaskVector::open(argument.minuend);
  if (lora::is_adapter(argument.minuend))
    return TaskVector::open(argument.minuend, Checkpoint::open(argument.subtrahend));
  return Checkpoint::open(argument.minuend) - Checkpoint::open(argument.subtrahend);
}

TaskVector sum_of_vectors(const Arguments& arguments) {
  TaskVector sum;
  for (std::size_t i = 1; i < arguments.positional.size(); ++i) {
    const VectorArgument argument = parse_vector_argument(arguments.positional[i]);
    sum = sum + argument.scale * open_vector(argument);
  }
  arguments.only.require_matches(sum.names());
  return sum.only(arguments.only);
}

}  // namespace suture::apps
