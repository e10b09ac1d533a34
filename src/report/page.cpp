#include "report/page.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string_view>

#include "suture/error.h"
#include "suture/version.h"

#include "evaluate/sha256.h"
#include "format/file.h"
#include "report/page_content.h"

namespace suture::report {
namespace {

using format::Json;

constexpr std::uint64_t kMaxResultBytes = 1'000'000'000;

std::string joined(const std::vector<const char*>& parts) {
  std::string text;
  for (const char* part : parts) text += part;
  return text;
}

int value_of_hex(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

// Whole groups of three bytes, and the last one padded, as RFC 4648 has it.
std::string base64_of_hex(const std::string& hex) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  unsigned bits = 0;
  int held = 0;
  for (const char digit : hex) {
    bits = bits << 4 | static_cast<unsigned>(value_of_hex(digit));
    held += 4;
    if (held < 6) continue;
    held -= 6;
    text += kDigits[bits >> held & 63];
  }
  if (held > 0) text += kDigits[bits << (6 - held) & 63];
  while (text.size() % 4 != 0) text += '=';
  return text;
}

std::string hash_source(const std::string& text) {
  return "'sha256-" + base64_of_hex(evaluation::sha256_hex(text)) + "'";
}

// Nothing but what the page itself holds may run or be shown.
std::string policy_for(const std::string& style, const std::string& script, bool is_live) {
  return "default-src 'none'; script-src " + hash_source(script) + "; style-src " +
         hash_source(style) + "; img-src data: blob:; base-uri 'none'; form-action 'none'" +
         (is_live ? "; connect-src 'self'" : "");
}

// JSON as it may stand inside a script element: without `<`, `>`, `&` and anything but ASCII.
std::string embedded(const Json& json) {
  std::string text;
  for (const char c : json.dump(-1, ' ', true, Json::error_handler_t::replace)) {
    if (c == '<')
      text += "\\u003c";
    else if (c == '>')
      text += "\\u003e";
    else if (c == '&')
      text += "\\u0026";
    else
      text += c;
  }
  return text;
}

std::string replace_mark(const std::string& text, std::string_view mark, const std::string& by) {
  const std::size_t at = text.find(mark);
  return text.substr(0, at) + by + text.substr(at + mark.size());
}

Json describe(const PageInput& input) {
  Json files = Json::array();
  for (const auto& [name, bytes] : input.files) files.push_back({{"name", name}, {"bytes", bytes}});
  return {{"name", input.name},
          {"role", input.role},
          {"formula", input.formula},
          {"digest", input.digest},
          {"files", std::move(files)}};
}

// Of no use to the page, and large.
void leave_out_records(Json& result) {
  if (result.at("schema") != "suture.ablation/1") return;
  for (Json& arm : result.at("arms"))
    for (Json& metric : arm.at("metrics")) metric.erase("records");
}

Json payload_of(const Page& page) {
  Json root{
      {"schema", "suture.page/1"}, {"suture", kVersion},
      {"title", page.title},       {"command", page.command.empty() ? Json() : Json(page.command)},
      {"warnings", page.warnings}, {"inputs", Json::array()},
      {"results", Json::array()},  {"explore", page.explore}};
  for (const PageInput& input : page.inputs) root["inputs"].push_back(describe(input));
  for (const PageResult& one : page.results) {
    Json result = one.result;
    leave_out_records(result);
    root["results"].push_back({{"source", one.source}, {"result", std::move(result)}});
  }
  return root;
}

// What a page relies on. Other values may be absent or odd: they are shown as missing.
class ResultCheck {
 public:
  explicit ResultCheck(const std::string& file) : file_(file) {}

  void require_analysis(const Json& root) const {
    for (const Json& vector : list(root, "vectors", "vectors")) {
      require_text(vector, "name", "vectors");
      require_levels(vector, "vectors");
    }
    const std::size_t vectors = root["vectors"].size();
    if (vectors == 0) fail("'vectors' is empty", "one vector at least");
    for (const Json& pair : list(root, "pairs", "pairs")) {
      require_text(pair, "first", "pairs");
      require_text(pair, "second", "pairs");
      require_levels(pair, "pairs");
    }
    const std::size_t tensors = root["vectors"][0]["tensors"].size();
    for (const char* key : {"vectors", "pairs"})
      for (const Json& part : root[key])
        if (part["tensors"].size() != tensors)
          fail("lists of tensors of different lengths", "the same tensors for every vector");
  }

  void require_ablation(const Json& root) const {
    if (root.contains("tasks")) list(root, "tasks", "result");
    for (const Json& arm : list(root, "arms", "arms")) {
      for (const char* key : {"name", "kind", "family"}) require_text(arm, key, "arms");
      for (const Json& metric : list(arm, "metrics", "arms")) {
        for (const char* key : {"task", "metric"}) require_text(metric, key, "metrics");
        const auto effect = metric.find("effect");
        if (effect == metric.end() || !(effect->is_null() || effect->is_object()))
          fail("a metric without 'effect'", "an object or null");
      }
    }
  }

  [[noreturn]] void fail(const std::string& found, const std::string& expected) const {
    throw FormatError({file_, {}, found, expected, "give a file that --json wrote"});
  }

 private:
  void require_levels(const Json& part, const char* where) const {
    if (!part.contains("total") || !part["total"].is_object())
      fail(std::string("'total' missing in '") + where + "'", "an object");
    for (const char* level : {"layers", "blocks", "modules"}) list(part, level, where);
    require_histogram(part["total"]);
    for (const char* level : {"layers", "blocks", "modules", "tensors"})
      for (const Json& row : part[level]) require_histogram(row);
    for (const Json& tensor : list(part, "tensors", where)) {
      require_text(tensor, "name", "tensors");
      for (const char* key : {"module", "block"})
        if (tensor.contains(key)) require_text(tensor, key, "tensors");
      if (tensor.contains("spectrum")) require_spectrum(tensor["spectrum"]);
    }
  }

  // Counts by power of two, of double numbers at most.
  void require_histogram(const Json& row) const {
    const auto at = row.find("histogram");
    if (at == row.end()) return;
    constexpr std::size_t kMostBins = 4096;
    const bool has_exponent =
        at->is_object() && at->contains("first_exponent") &&
        (*at)["first_exponent"].is_number_integer() &&
        std::abs((*at)["first_exponent"].get<double>()) <= static_cast<double>(kMostBins);
    const bool has_counts = at->is_object() && at->contains("counts") &&
                            is_counts((*at)["counts"]) && (*at)["counts"].size() <= kMostBins;
    if (!has_exponent || !has_counts)
      fail("a 'histogram' of odd values", "'first_exponent' and a list of 'counts'");
  }

  void require_spectrum(const Json& spectrum) const {
    if (!spectrum.is_object()) fail("a 'spectrum' that is no object", "an object");
    for (const char* key : {"singular_values", "left_cosines", "right_cosines"}) {
      const auto at = spectrum.find(key);
      if (at == spectrum.end()) continue;
      const bool is_list =
          at->is_array() &&
          std::all_of(at->begin(), at->end(), [](const Json& one) { return one.is_number(); });
      if (!is_list) fail(std::string("'") + key + "' that is no list of numbers", "numbers");
    }
  }

  static bool is_counts(const Json& counts) {
    return counts.is_array() && std::all_of(counts.begin(), counts.end(), [](const Json& count) {
             return count.is_number_unsigned();
           });
  }

  const Json& list(const Json& part, const char* key, const char* where) const {
    const auto at = part.find(key);
    if (at == part.end() || !at->is_array())
      fail(std::string("no list '") + key + "' in '" + where + "'", "a list of objects");
    for (const Json& entry : *at)
      if (!entry.is_object()) fail(std::string("'") + key + "' holds no objects", "objects");
    return *at;
  }

  void require_text(const Json& part, const char* key, const char* where) const {
    const auto at = part.find(key);
    if (at == part.end() || !at->is_string())
      fail(std::string("no text '") + key + "' in '" + where + "'", "a text");
  }

  const std::string& file_;
};

}  // namespace

Json parse_result(const std::string& text, const std::string& file) {
  Json root = format::parse_json(text, file);
  const ResultCheck check(file);
  const std::string schema =
      root.is_object() && root.contains("schema") && root["schema"].is_string()
          ? root["schema"].get<std::string>()
          : std::string();
  if (schema == "suture.analyze/1")
    check.require_analysis(root);
  else if (schema == "suture.ablation/1")
    check.require_ablation(root);
  else
    check.fail(schema.empty() ? "no schema" : "schema '" + printable(schema) + "'",
               "'suture.analyze/1' or 'suture.ablation/1'");
  return root;
}

Json read_result(const std::filesystem::path& path) {
  return parse_result(format::read_small_file(path, kMaxResultBytes), path.string());
}

std::string to_html(const Page& page) {
  const std::string style = joined(page_styles()), script = joined(page_scripts());
  std::string html = joined(page_template());
  html = replace_mark(html, "{{policy}}", policy_for(style, script, !page.explore.is_null()));
  html = replace_mark(html, "{{style}}", style);
  // The data last: it may hold any text, marks too.
  html = replace_mark(html, "{{script}}", script);
  return replace_mark(html, "{{data}}", embedded(payload_of(page)));
}

}  // namespace suture::report
