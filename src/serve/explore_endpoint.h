#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include <nlohmann/json.hpp>

#include "suture/model_edit.h"

#include "serve/http_server.h"

namespace suture::serve {

/// What an explorer's page asks for.
struct ExploreActions {
  std::string page;  ///< The HTML.
  std::size_t vectors = 1;

  /// Makes the model what the edit says and tells what came of it; called one at a time. Throws
  /// Interrupted once `stop` is true.
  std::function<nlohmann::ordered_json(const ModelEdit& edit)> apply;

  /// Writes the edited model to a folder of this plain name; called one at a time.
  std::function<nlohmann::ordered_json(const ModelEdit& edit, const std::string& name)> write;
};

/// A secret of 128 random bits, as 32 hexadecimal digits.
std::string random_token();

/// The page of `suture explore` and what it asks for, below `/TOKEN`:
///
///     GET  /TOKEN/            the page
///     POST /TOKEN/api/edit    {"edit": 17, "scales": [0.5], "only": "layer=0-3", "prompt": ""}
///     POST /TOKEN/api/export  {"scales", "only", "output": "name"}
///
/// Any other address is answered with 404, whatever the token. Of edits that overlap only the
/// newest is carried out: the one under way is interrupted, those waiting are passed over, and both
/// are answered with 409. Safe to call from several threads.
class ExploreEndpoint {
 public:
  /// `stop` is what interrupts `apply`; the endpoint sets and clears it. Both must outlive it.
  ExploreEndpoint(std::string token, ExploreActions actions, std::atomic<bool>& stop)
      : token_(std::move(token)), actions_(std::move(actions)), stop_(stop) {}

  HttpResponse operator()(const HttpRequest& request);

  /// Interrupts what is under way and passes over all that comes: the end is near.
  void close();

 private:
  HttpResponse edit(const HttpRequest& request);
  HttpResponse write(const HttpRequest& request);
  std::uint64_t announce();
  bool begin(std::uint64_t ticket);

  std::string token_;
  ExploreActions actions_;
  std::atomic<bool>& stop_;
  std::mutex tickets_, one_edit_, one_export_;
  std::uint64_t newest_ = 0;  // ticket
  bool closed_ = false;
};

}  // namespace suture::serve
