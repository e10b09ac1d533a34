#include "serve/http_server.h"

#include <cctype>
#include <civetweb.h>
#include <condition_variable>
#include <exception>
#include <future>
#include <mutex>
#include <netinet/in.h>
#include <optional>
#include <string_view>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "suture/error.h"

namespace suture::serve {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 64 << 10;

std::string lower(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lowered;
}

const char* phrase_of(int status) {
  static const std::map<int, const char*> kPhrases{
      {200, "OK"},
      {400, "Bad Request"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {413, "Content Too Large"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {503, "Service Unavailable"},
  };
  const auto known = kPhrases.find(status);
  return known == kPhrases.end() ? "Status" : known->second;
}

void send(mg_connection* connection, const HttpResponse& response, bool with_body = true) {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     phrase_of(response.status) + "\r\nContent-Type: " + response.content_type +
                     "\r\nContent-Length: " + std::to_string(response.body.size()) +
                     "\r\nConnection: close\r\nCache-Control: no-store"
                     "\r\nX-Content-Type-Options: nosniff\r\n";
  for (const auto& [name, value] : response.headers) text += name + ": " + value + "\r\n";
  text += "\r\n";
  if (with_body) text += response.body;
  mg_write(connection, text.data(), text.size());
}

// Nothing when a header stands there twice: which one counts is anybody's guess.
std::optional<HttpRequest> read_head(const mg_request_info& info) {
  HttpRequest request;
  request.method = info.request_method;
  request.path = info.local_uri != nullptr ? info.local_uri : "";
  request.query = info.query_string != nullptr ? info.query_string : "";
  for (int i = 0; i < info.num_headers; ++i) {
    const auto& header = info.http_headers[i];
    const bool added =
        request.headers.emplace(lower(header.name), header.value != nullptr ? header.value : "")
            .second;
    if (!added) return std::nullopt;
  }
  return request;
}

// The names that mean this server, and no other machine by way of a browser on this one.
bool is_own_name(std::string_view name, std::uint16_t port) {
  const std::string behind = ":" + std::to_string(port);
  return name == "127.0.0.1" + behind || lower(name) == "localhost" + behind;
}

bool is_own_origin(std::string_view origin, std::uint16_t port) {
  constexpr std::string_view kScheme = "http://";
  return origin.substr(0, kScheme.size()) == kScheme &&
         is_own_name(origin.substr(kScheme.size()), port);
}

std::optional<HttpResponse> refusal_of_foreigners(const HttpRequest& request, std::uint16_t port) {
  const auto host = request.headers.find("host");
  if (host == request.headers.end() || !is_own_name(host->second, port))
    return error_response(403, "the Host header does not name this server");
  const auto origin = request.headers.find("origin");
  if (origin != request.headers.end() && !is_own_origin(origin->second, port))
    return error_response(403, "requests from web pages of other servers are refused");
  return std::nullopt;
}

// Connects to the server again and again: civetweb looks every two seconds whether it is to stop,
// and when somebody connects.
class Knocker {
 public:
  explicit Knocker(std::uint16_t port)
      : thread_([this, port] {
          while (!done_) {
            knock(port);
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          }
        }) {}
  Knocker(const Knocker&) = delete;
  Knocker& operator=(const Knocker&) = delete;
  ~Knocker() {
    done_ = true;
    thread_.join();
  }

 private:
  static void knock(std::uint16_t port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket < 0) return;
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::connect(socket, reinterpret_cast<const sockaddr*>(&place), sizeof place);
    ::close(socket);
  }

  std::atomic<bool> done_{false};
  std::thread thread_;  // the last member: it uses the others
};

// How reading a body ended.
enum class Body { kWhole, kTooLarge, kBroken };

// Reads on past the limit, as far again: a client that is still sending does not see the answer.
Body read_body(mg_connection* connection, const HttpLimits& limits, std::string& body) {
  const Clock::time_point deadline = Clock::now() + limits.patience;
  const long long announced = mg_get_request_info(connection)->content_length;
  std::size_t seen = 0;
  std::vector<char> buffer(kReadBytes);
  bool too_large = announced > 0 && static_cast<std::size_t>(announced) > limits.body_bytes;
  while (seen < 2 * limits.body_bytes) {
    const int count = mg_read(connection, buffer.data(), buffer.size());
    if (count < 0 || Clock::now() > deadline) return too_large ? Body::kTooLarge : Body::kBroken;
    if (count == 0) break;
    seen += static_cast<std::size_t>(count);
    too_large = too_large || seen > limits.body_bytes;
    if (!too_large) body.append(buffer.data(), static_cast<std::size_t>(count));
  }
  if (too_large) return Body::kTooLarge;
  return announced < 0 || seen == static_cast<std::size_t>(announced) ? Body::kWhole
                                                                      : Body::kBroken;
}

}  // namespace

HttpResponse error_response(int status, const std::string& message, const std::string& param) {
  nlohmann::json error{{"message", message},
                       {"type", status < 500 ? "invalid_request_error" : "server_error"},
                       {"param", nullptr},
                       {"code", nullptr}};
  if (!param.empty()) error["param"] = param;
  const nlohmann::json body{{"error", error}};
  HttpResponse response;
  response.status = status;
  response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return response;
}

struct HttpServer::State {
  HttpHandler handler;
  HttpLimits limits;
  std::atomic<std::uint16_t> port{0};
  mg_context* context = nullptr;

  std::mutex mutex;
  std::condition_variable idle;
  std::size_t answering = 0;
  bool ending = false;

  // False when the server is ending.
  bool begin_answer() {
    const std::lock_guard lock(mutex);
    if (!ending) ++answering;
    return !ending;
  }

  void end_answer() {
    const std::lock_guard lock(mutex);
    --answering;
    idle.notify_all();
  }

  void wait_until_idle() {
    std::unique_lock lock(mutex);
    ending = true;
    idle.wait(lock, [this] { return answering == 0; });
  }

  // On a thread of its own: on civetweb's, running a model was seen to overflow the stack.
  HttpResponse handled(const HttpRequest& request) const {
    try {
      return std::async(std::launch::async, [&] { return handler(request); }).get();
    } catch (const std::exception& error) {
      return error_response(500, printable(error.what()));
    }
  }

  // What the request is refused for before its handler sees it. Reads the body.
  std::optional<HttpResponse> refusal(mg_connection* connection, HttpRequest& request) const {
    if (auto foreign = refusal_of_foreigners(request, port)) return foreign;
    switch (read_body(connection, limits, request.body)) {
      case Body::kTooLarge:
        return error_response(413,
                              "the body is over " + std::to_string(limits.body_bytes) + " bytes");
      case Body::kBroken:
        return error_response(408, "the body did not arrive whole and in time");
      case Body::kWhole:
        break;
    }
    return std::nullopt;
  }

  int serve(mg_connection* connection) {
    auto request = read_head(*mg_get_request_info(connection));
    auto response = request ? refusal(connection, *request)
                            : error_response(400, "one header stands in the request twice");
    // Only from here on does the end of the server wait: not for a client that sends slowly.
    const bool begun = begin_answer();
    if (!response)
      response = begun ? handled(*request) : error_response(503, "the server is ending");
    send(connection, *response, !request || request->method != "HEAD");
    if (begun) end_answer();
    return response->status;
  }

  static State& of(const mg_connection* connection) {
    return *static_cast<State*>(mg_get_user_data(mg_get_context(connection)));
  }

  // An exception may not pass through civetweb, which is C.
  static int on_request(mg_connection* connection) {
    try {
      return of(connection).serve(connection);
    } catch (...) {
      return 500;
    }
  }

  // What civetweb refuses by itself, such as a header that is too large.
  static int on_error(mg_connection* connection, int status, const char* message) {
    try {
      send(connection, error_response(status, message));
    } catch (...) {
    }
    return 0;
  }

  static int on_log(const mg_connection*, const char*) { return 1; }

  void listen(std::uint16_t wanted) {
    const std::string place = "127.0.0.1:" + std::to_string(wanted);
    const std::string threads = std::to_string(limits.connections);
    const std::string patience = std::to_string(limits.patience.count());
    const std::string header_bytes = std::to_string(limits.header_bytes);
    const char* options[] = {"listening_ports",
                             place.c_str(),
                             "num_threads",
                             threads.c_str(),
                             "request_timeout_ms",
                             patience.c_str(),
                             "max_request_size",
                             header_bytes.c_str(),
                             "enable_keep_alive",
                             "no",
                             "tcp_nodelay",
                             "1",
                             "enable_directory_listing",
                             "no",
                             nullptr};
    mg_callbacks callbacks{};
    callbacks.begin_request = on_request;
    callbacks.http_error = on_error;
    callbacks.log_message = on_log;
    callbacks.log_access = on_log;
    mg_init_data data{&callbacks, this, options};
    char reason[200] = "";
    unsigned code = 0;
    mg_error_data error{&code, reason, sizeof reason};
    context = mg_start2(&data, &error);
    if (context == nullptr) {
      throw IoError({place,
                     {},
                     std::string("cannot be listened on: ") + reason,
                     {},
                     "another program may have this port; port 0 takes a free one"});
    }
    mg_server_port bound{};
    mg_get_server_ports(context, 1, &bound);
    port = static_cast<std::uint16_t>(bound.port);
  }
};

HttpServer::HttpServer(std::uint16_t port, HttpHandler handler, const HttpLimits& limits)
    : state_(std::make_unique<State>()) {
  state_->handler = std::move(handler);
  state_->limits = limits;
  mg_init_library(MG_FEATURES_DEFAULT);
  try {
    state_->listen(port);
  } catch (...) {
    mg_exit_library();
    throw;
  }
}

HttpServer::~HttpServer() {
  state_->wait_until_idle();
  {
    const Knocker knocker(port());
    mg_stop(state_->context);
  }
  mg_exit_library();
}

std::uint16_t HttpServer::port() const { return state_->port; }

std::string HttpServer::address() const { return "http://127.0.0.1:" + std::to_string(port()); }

void HttpServer::wait_for(const std::atomic<bool>& cancel) {
  constexpr std::chrono::milliseconds kPause{20};
  while (!cancel) std::this_thread::sleep_for(kPause);
}

}  // namespace suture::serve
