#include "serve/explore_endpoint.h"

#include <chrono>
#include <cmath>
#include <random>
#include <utility>

#include "suture/error.h"

#include "format/json.h"

namespace suture::serve {
namespace {

using Json = nlohmann::ordered_json;

HttpResponse answer(int status, const Json& json) {
  HttpResponse response;
  response.status = status;
  response.body = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return response;
}

HttpResponse refuse(int status, const std::string& error) {
  return answer(status, {{"error", error}});
}

HttpResponse superseded(const Json& number) {
  return answer(409, {{"edit", number}, {"superseded", true}});
}

// Takes as long for every text of the right length: nothing is learned by trying.
bool is_equal(const std::string& a, const std::string& b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned char>(a[i]) ^
                  static_cast<unsigned char>(b[b.empty() ? 0 : i % b.size()]);
  return difference == 0;
}

UsageError bad_field(const std::string& field, const std::string& expected) {
  return UsageError({{}, {}, "a bad '" + field + "'", expected, {}});
}

std::string text_in(const format::Json& body, const char* field) {
  const auto at = body.find(field);
  if (at == body.end() || at->is_null()) return {};
  if (!at->is_string()) throw bad_field(field, "a text");
  return at->get<std::string>();
}

format::Json read_body(const HttpRequest& request) {
  format::Json body = format::parse_json(request.body, "the request");
  if (!body.is_object()) throw bad_field("request", "an object");
  return body;
}

ModelEdit edit_in(const format::Json& body, std::size_t vectors) {
  ModelEdit edit;
  const auto scales = body.find("scales");
  if (scales == body.end() || !scales->is_array() || scales->size() != vectors)
    throw bad_field("scales", "a list of " + std::to_string(vectors) + ", one for each vector");
  for (const format::Json& scale : *scales) {
    if (!scale.is_number() || !std::isfinite(scale.get<double>()))
      throw bad_field("scales", "finite numbers");
    edit.scales.push_back(scale.get<double>());
  }
  const std::string only = text_in(body, "only");
  if (!only.empty()) edit.only = Selection::parse(only);
  edit.prompt = text_in(body, "prompt");
  return edit;
}

// A folder of this name is made where the program was told to: no path.
std::string output_in(const format::Json& body) {
  const std::string name = text_in(body, "output");
  if (name.empty() || name.size() > 200 || name.front() == '.' || name.front() == '-' ||
      name.find_first_of(std::string("/\\\0", 3)) != std::string::npos)
    throw bad_field("output", "the plain name of a folder");
  return name;
}

}  // namespace

std::string random_token() {
  std::random_device device;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string token;
  for (int word = 0; word < 4; ++word)
    for (std::uint32_t bits = device(), i = 0; i < 8; ++i, bits >>= 4) token += kDigits[bits & 15];
  return token;
}

HttpResponse ExploreEndpoint::operator()(const HttpRequest& request) {
  const std::size_t slash = request.path.find('/', 1);
  const std::string given = request.path.substr(0, slash);
  if (slash == std::string::npos || !is_equal(given, "/" + token_))
    return refuse(404, "not the address that the program printed");
  const std::string place = request.path.substr(slash);
  try {
    if (request.method == "GET" && place == "/") {
      HttpResponse page;
      page.content_type = "text/html; charset=utf-8";
      page.headers = {{"Referrer-Policy", "no-referrer"},
                      {"Content-Security-Policy", "frame-ancestors 'none'"}};
      page.body = actions_.page;
      return page;
    }
    if (request.method == "POST" && place == "/api/edit") return edit(request);
    if (request.method == "POST" && place == "/api/export") return write(request);
  } catch (const Interrupted&) {
    return refuse(503, "the program is ending");
  } catch (const Error& error) {
    return refuse(400, error.what());
  }
  return refuse(404, "nothing is here");
}

std::uint64_t ExploreEndpoint::announce() {
  const std::lock_guard lock(tickets_);
  stop_ = true;
  return ++newest_;
}

bool ExploreEndpoint::begin(std::uint64_t ticket) {
  const std::lock_guard lock(tickets_);
  if (closed_ || ticket != newest_) return false;
  stop_ = false;
  return true;
}

HttpResponse ExploreEndpoint::edit(const HttpRequest& request) {
  // What is not understood disturbs nobody.
  const format::Json body = read_body(request);
  const ModelEdit wanted = edit_in(body, actions_.vectors);
  const auto number = body.find("edit");
  const bool is_numbered = number != body.end() && number->is_number_unsigned();
  const Json edit_number = is_numbered ? Json(number->get<std::uint64_t>()) : Json();
  const std::uint64_t ticket = announce();
  const std::lock_guard lock(one_edit_);
  if (!begin(ticket)) return superseded(edit_number);
  const auto start = std::chrono::steady_clock::now();
  try {
    Json result{{"edit", edit_number},
                {"scales", wanted.scales},
                {"only", wanted.only.is_all() ? "" : wanted.only.to_string()}};
    result.update(actions_.apply(wanted));
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    result["seconds"] = taken.count();
    return answer(200, result);
  } catch (const Interrupted&) {
    return superseded(edit_number);
  }
}

HttpResponse ExploreEndpoint::write(const HttpRequest& request) {
  const format::Json body = read_body(request);
  const ModelEdit wanted = edit_in(body, actions_.vectors);
  const std::string name = output_in(body);
  const std::lock_guard lock(one_export_);
  return answer(200, actions_.write(wanted, name));
}

void ExploreEndpoint::close() {
  const std::lock_guard lock(tickets_);
  closed_ = true;
  stop_ = true;
}

}  // namespace suture::serve
