#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "suture/analysis.h"
#include "suture/error.h"
#include "suture/explorer.h"
#include "suture/surgery.h"

#include "common/command.h"
#include "common/evaluation_setup.h"
#include "common/model_options.h"
#include "common/page_output.h"
#include "common/shell_text.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "format/digest.h"
#include "report/explore_json.h"
#include "report/text_report.h"
#include "serve/explore_endpoint.h"
#include "surgery/vector_digest.h"

namespace suture::apps {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kDefaultRecords = 64;  // so that an answer does not keep anybody waiting
constexpr std::size_t kMaxEditBytes = 64 << 10;

// What is explored. Vectors are unscaled: scales are the page's.
struct Session {
  const Arguments& arguments;
  Checkpoint target;
  std::vector<VectorArgument> names;
  std::vector<AnalyzedVector> vectors;
};

Session open_session(const Arguments& arguments) {
  Session session{arguments, open_target(arguments, arguments.positional.front()), {}, {}};
  sum_of_vectors(arguments);  // refuses --only of what none of them has
  for (std::size_t i = 1; i < arguments.positional.size(); ++i) {
    const VectorArgument name = parse_vector_argument(arguments.positional[i]);
    const TaskVector vector = open_vector(name);
    session.names.push_back(name);
    session.vectors.push_back({name.name, vector.only(arguments.only), {}});
    const Compatibility fit = check(session.target, session.vectors.back().vector, arguments.check);
    require_fit(fit);
    say_findings(arguments, fit);
    TaskVector& named = session.vectors.back().vector;
    named = under_names_of(session.target, named, arguments.check);
  }
  return session;
}

std::vector<double> first_scales(const Session& session) {
  std::vector<double> scales;
  for (const VectorArgument& name : session.names) scales.push_back(name.scale);
  return scales;
}

ExplorerOptions explorer_options(const Arguments& arguments, const LanguageModel& model,
                                 const RunOptions& terminal, const std::atomic<bool>& stop) {
  ExplorerOptions options;
  if (!arguments.tasks.empty()) {
    const std::vector<Task> tasks = open_tasks(arguments);
    if (tasks.size() > 1)
      throw UsageError({{}, {}, std::to_string(tasks.size()) + " tasks", "one", {}});
    options.task = tasks.front();
  }
  options.evaluation = evaluation_options(arguments, terminal, model);
  if (!options.evaluation.limit) options.evaluation.limit = kDefaultRecords;
  options.prompt = arguments.prompt;
  options.vocabulary = arguments.check.vocabulary;
  options.run = terminal;
  options.edit_cancel = &stop;
  return options;
}

std::string text_of(double scale) { return Json(scale).dump(); }

// What makes the same model: `suture inject TARGET 'VECTOR@SCALE' --only '...' -o NAME`.
std::string command_for(const Session& session, const ModelEdit& edit) {
  std::string command = "suture inject " + shell_word(session.arguments.positional.front());
  for (std::size_t i = 0; i < session.names.size(); ++i) {
    const VectorArgument& name = session.names[i];
    const std::string vector =
        name.subtrahend.empty() ? name.name : "(" + name.minuend + " - " + name.subtrahend + ")";
    command += " " + shell_word(vector + "@" + text_of(edit.scales[i]));
  }
  const Selection only = session.arguments.only & edit.only;
  if (!only.is_all()) command += " --only " + shell_word(only.to_string());
  const CheckOptions& check = session.arguments.check;
  if (check.vocabulary == VocabularyPolicy::kCommon) command += " --vocab common";
  if (check.head == HeadPolicy::kEmbedding) command += " --head embedding";
  for (const std::string& topic : check.allowed) command += " --allow " + shell_word(topic);
  return command + " -o OUT";
}

Json apply(const Session& session, Explorer& explorer, const ModelEdit& edit) {
  Json json = report::describe(explorer.apply(edit));
  json["command"] = command_for(session, edit);
  return json;
}

Json write(const Session& session, const Explorer& explorer, const ModelEdit& edit,
           const std::string& name, const RunOptions& run) {
  const fs::path folder = fs::path(session.arguments.output) / name;
  InjectOptions options;
  options.check = session.arguments.check;
  options.run = run;
  options.run.on_progress = {};
  std::error_code error;
  if (fs::exists(folder, error))
    throw UsageError({folder.string(), {}, "exists already", "a new name", {}});
  const InjectReport report =
      inject(session.target, explorer.vector_of(edit), folder.string(), options);
  if (!session.arguments.quiet)
    say("wrote " + printable(folder.string()) + ": " + report::to_text(report));
  return {{"written", folder.string()}, {"realised", report::to_text(report.realised)}};
}

Json names_in(const format::Json& rows, const char* key) {
  Json names = Json::array();
  for (const format::Json& row : rows) names.push_back(row.at(key).get<std::string>());
  return names;
}

Json describe_task(const Explorer& explorer) {
  const auto& score = explorer.reference().score;
  if (!score) return nullptr;
  return {{"name", score->task},
          {"metric", score->metric},
          {"higher_is_better", score->higher_is_better},
          {"is_share", score->is_share},
          {"records", score->records}};
}

std::string make_page(const Session& session, const Explorer& explorer, const std::string& api,
                      std::int64_t layers, const RunOptions& run) {
  const Arguments& arguments = session.arguments;
  report::Page page;
  page.title = "explore " + arguments.positional.front();
  page.command = arguments.command_line;
  page.command.insert(page.command.begin(), "suture");
  page.inputs.push_back(page_input("target", arguments.positional.front(), session.target));
  for (const AnalyzedVector& one : session.vectors)
    page.inputs.push_back(
        page_input(one.name, one.vector, format::to_hex(content_digest(one.vector, run))));
  page.results.push_back(analysis_result(session.vectors, session.target,
                                         arguments.positional.front(), arguments.check.vocabulary,
                                         run));
  const format::Json& analysis = page.results.front().result;
  const auto& sample = explorer.reference().sample;
  const Json explore{{"api", api},
                     {"target", arguments.positional.front()},
                     {"vectors", names_in(analysis["vectors"], "name")},
                     {"scales", first_scales(session)},
                     {"layers", layers},
                     {"modules", names_in(analysis["vectors"][0]["modules"], "module")},
                     {"task", describe_task(explorer)},
                     {"prompt", sample ? Json(sample->prompt) : Json()}};
  page.explore = explore;
  return report::to_html(page);
}

void refuse_bad_folder(const Arguments& arguments) {
  std::error_code error;
  if (!arguments.output.empty() && !fs::is_directory(arguments.output, error))
    throw UsageError({arguments.output,
                      {},
                      "no folder",
                      "an existing folder, in which models are written",
                      "make it, or name another with -o"});
}

int run(const Arguments& arguments) {
  refuse_bad_folder(arguments);
  const RunOptions terminal = with_terminal(arguments);
  const Session session = open_session(arguments);
  const std::string& location = arguments.positional.front();
  const Tokenizer tokenizer = Tokenizer::open(location);
  LanguageModel model = LanguageModel::open(location, model_options(arguments, terminal));
  const std::string digest = weights_digest(model.weights());

  std::atomic<bool> stop{false};
  std::vector<TaskVector> vectors;
  for (const AnalyzedVector& one : session.vectors) vectors.push_back(one.vector);
  Explorer explorer(session.target, model, tokenizer, vectors,
                    explorer_options(arguments, model, terminal, stop));

  const std::string token = serve::random_token();
  serve::ExploreActions actions;
  actions.page = make_page(session, explorer, "/" + token + "/api", model.info().layers, terminal);
  actions.vectors = vectors.size();
  actions.apply = [&](const ModelEdit& edit) { return apply(session, explorer, edit); };
  actions.write = [&](const ModelEdit& edit, const std::string& name) {
    return write(session, explorer, edit, name, terminal);
  };
  serve::ExploreEndpoint endpoint(token, std::move(actions), stop);
  {
    serve::HttpLimits limits;
    limits.body_bytes = kMaxEditBytes;
    limits.connections = 64;
    limits.patience = std::chrono::seconds(3);
    const serve::HttpServer server(arguments.port.value_or(0), std::ref(endpoint), limits);
    write_stdout(server.address() + "/" + token + "/\n");
    if (!arguments.quiet) say("open this address in a browser; Ctrl-C ends\n");
    serve::HttpServer::wait_for(*terminal.cancel);
    endpoint.close();
  }
  try {
    explorer.restore();
  } catch (const IoError& error) {
    say(std::string("warning: whether the last edit was undone could not be seen: ") +
        error.what() + "\n");
    return 128 + cancelling_signal();
  }
  if (weights_digest(model.weights()) != digest)
    throw Error({location,
                 {},
                 "the weights in memory are not what they were before the first edit",
                 "the target's bytes",
                 "do not believe what was shown, and report this"});
  return 128 + cancelling_signal();
}

}  // namespace

const Command& explore_command() {
  static const Command command{explore_spec(), run};
  return command;
}

}  // namespace suture::apps
