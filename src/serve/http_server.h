#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace suture::serve {

/// One request, read whole.
struct HttpRequest {
  std::string method;                          ///< `GET`
  std::string path;                            ///< Decoded, without `..`: `/v1/models`
  std::string query;                           ///< What stands behind `?`, as sent.
  std::map<std::string, std::string> headers;  ///< By name in lower case.
  std::string body;
};

/// What is sent back.
struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::map<std::string, std::string> headers;  ///< Beside those of length, type and connection.
};

/// Answers requests. Called from several threads at once.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

/// What a client may ask of a server.
struct HttpLimits {
  std::size_t header_bytes = 16 << 10;
  std::size_t body_bytes = 64 << 20;
  unsigned connections = 16;                   ///< Served at once; more wait.
  std::chrono::milliseconds patience{10'000};  ///< For a request to arrive, and for each write.
};

/// An error as the OpenAI API tells it: `{"error": {"message", "type", "param", "code"}}`. `param`
/// names the field at fault; empty: null.
HttpResponse error_response(int status, const std::string& message, const std::string& param = {});

/// An HTTP/1.1 server for programs and browsers on this machine. It listens on 127.0.0.1 alone, and
/// refuses with 403 what a foreign web page could make a browser send: a Host that is not
/// `127.0.0.1` or `localhost` with the port, and an Origin that is not this server. Bodies over the
/// limit are refused with 413, requests that do not arrive in time are dropped. Every answer closes
/// its connection.
class HttpServer {
 public:
  /// Listens from now on; port 0 takes a free one. An exception out of `handler` is answered with
  /// 500. Throws IoError when the port cannot be had.
  HttpServer(std::uint16_t port, HttpHandler handler, const HttpLimits& limits = {});

  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Takes no more requests (503), waits for those being answered, and ends.
  ~HttpServer();

  std::uint16_t port() const;
  std::string address() const;  ///< `http://127.0.0.1:8000`

  /// Returns when `cancel` is true.
  static void wait_for(const std::atomic<bool>& cancel);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace suture::serve
