#include "serve/http_server.h"

#include <arpa/inet.h>
#include <atomic>
#include <future>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "serve/completions.h"
#include "support/fake_model.h"

namespace suture::serve {
namespace {

// A TCP connection to the server.
class Connection {
 public:
  explicit Connection(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&place), sizeof place) == 0;
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { ::close(socket_); }

  bool connected() const { return connected_; }

  void send(const std::string& text) {
    std::size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t count = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += static_cast<std::size_t>(count);
    }
  }

  // Everything until the server closes.
  std::string receive() {
    std::string text;
    char buffer[4096];
    for (ssize_t count; (count = ::recv(socket_, buffer, sizeof buffer, 0)) > 0;)
      text.append(buffer, static_cast<std::size_t>(count));
    return text;
  }

 private:
  int socket_;
  bool connected_ = false;
};

int status_of(const std::string& response) {
  return response.rfind("HTTP/1.1 ", 0) == 0 ? std::stoi(response.substr(9, 3)) : 0;
}

std::string body_of(const std::string& response) {
  const auto end = response.find("\r\n\r\n");
  return end == std::string::npos ? std::string() : response.substr(end + 4);
}

class Http : public ::testing::Test {
 protected:
  void serve(HttpHandler handler) { server_ = std::make_unique<HttpServer>(0, handler, limits_); }

  // Tells back what it was asked.
  void serve_echo() {
    serve([this](const HttpRequest& request) {
      ++handled_;
      HttpResponse response;
      response.content_type = "text/plain";
      response.body =
          request.method + " " + request.path + " " + request.query + " " + request.body;
      return response;
    });
  }

  std::string own_host() const { return "Host: 127.0.0.1:" + std::to_string(server_->port()); }

  std::string head(const std::string& line, const std::vector<std::string>& headers) const {
    std::string text = line + " HTTP/1.1\r\n";
    for (const std::string& header : headers) text += header + "\r\n";
    return text + "\r\n";
  }

  std::string exchange(const std::string& text) const {
    Connection connection(server_->port());
    connection.send(text);
    return connection.receive();
  }

  std::string get(const std::vector<std::string>& headers) const {
    return exchange(head("GET /here?a=b", headers));
  }

  std::string post(const std::string& body) const {
    return exchange(head("POST /", {own_host(), "Content-Length: " + std::to_string(body.size())}) +
                    body);
  }

  HttpLimits limits_;
  std::atomic<int> handled_{0};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(Http, HandsTheRequestOverAndTheAnswerBack) {
  serve_echo();
  EXPECT_EQ(body_of(get({own_host()})), "GET /here a=b ");
  const std::string response = post("some text");
  EXPECT_EQ(body_of(response), "POST /  some text");
  EXPECT_NE(response.find("Content-Type: text/plain\r\n"), std::string::npos);
  EXPECT_NE(response.find("Connection: close\r\n"), std::string::npos);
  EXPECT_EQ(server_->address(), "http://127.0.0.1:" + std::to_string(server_->port()));
}

TEST_F(Http, LargeBodiesArriveWhole) {
  serve_echo();
  const std::string body(3'000'000, 'x');
  EXPECT_EQ(body_of(post(body)), "POST /  " + body);
}

TEST_F(Http, ReadsBodiesInChunks) {
  serve_echo();
  const std::string chunks = "4\r\nsome\r\n5\r\n text\r\n0\r\n\r\n";
  EXPECT_EQ(body_of(exchange(head("POST /", {own_host(), "Transfer-Encoding: chunked"}) + chunks)),
            "POST /  some text");
}

TEST_F(Http, OnlyItsOwnNamesReachTheHandler) {
  serve_echo();
  const std::string port = std::to_string(server_->port());
  EXPECT_EQ(status_of(get({"Host: localhost:" + port})), 200);
  EXPECT_EQ(status_of(get({"Host: LOCALHOST:" + port})), 200);
  for (const std::string& host :
       {std::string("evil.example:" + port), std::string("evil.example"), std::string("127.0.0.1"),
        std::string("localhost:1"), std::string("127.0.0.1:" + port + ".evil.example"),
        std::string("x127.0.0.1:" + port)}) {
    EXPECT_EQ(status_of(get({"Host: " + host})), 403) << host;
  }
  EXPECT_NE(status_of(get({})), 200);
  EXPECT_NE(status_of(get({own_host(), "Host: evil.example"})), 200);
  EXPECT_EQ(handled_, 2);
}

TEST_F(Http, OnlyItsOwnPagesReachTheHandler) {
  serve_echo();
  const std::string port = std::to_string(server_->port());
  EXPECT_EQ(status_of(get({own_host(), "Origin: http://127.0.0.1:" + port})), 200);
  EXPECT_EQ(status_of(get({own_host(), "Origin: http://localhost:" + port})), 200);
  for (const std::string& origin :
       {std::string("null"), std::string("http://evil.example"),
        std::string("https://127.0.0.1:" + port), std::string("http://127.0.0.1:1"),
        std::string("http://127.0.0.1:" + port + ".evil.example")}) {
    EXPECT_EQ(status_of(get({own_host(), "Origin: " + origin})), 403) << origin;
  }
  EXPECT_EQ(handled_, 2);
}

TEST_F(Http, APreflightFromAnotherPageIsRefused) {
  serve_echo();
  const std::string response =
      exchange(head("OPTIONS /", {own_host(), "Origin: http://evil.example",
                                  "Access-Control-Request-Method: POST"}));
  EXPECT_EQ(status_of(response), 403);
  EXPECT_EQ(response.find("Access-Control-Allow"), std::string::npos);
}

TEST_F(Http, BodiesOverTheLimitAreRefused) {
  limits_.body_bytes = 1000;
  serve_echo();
  EXPECT_EQ(status_of(post(std::string(1000, 'x'))), 200);
  EXPECT_EQ(status_of(post(std::string(1001, 'x'))), 413);
  const std::string chunk = "800\r\n" + std::string(0x800, 'x') + "\r\n0\r\n\r\n";
  EXPECT_EQ(status_of(exchange(head("POST /", {own_host(), "Transfer-Encoding: chunked"}) + chunk)),
            413);
  EXPECT_EQ(handled_, 1);
}

TEST_F(Http, HeadersOverTheLimitAreRefused) {
  serve_echo();
  const std::string response = get({own_host(), "X: " + std::string(20'000, 'x')});
  EXPECT_NE(status_of(response), 200);
  EXPECT_EQ(handled_, 0);
}

TEST_F(Http, WhatIsNoHttpIsRefused) {
  limits_.patience = std::chrono::milliseconds(200);
  serve_echo();
  for (const std::string& text :
       {std::string("\r\n\r\n"), std::string("hello\r\n\r\n"), std::string("GET\r\n\r\n"),
        std::string("GET / HTTP/9.9\r\n\r\n"), std::string(100, '\0') + "\r\n\r\n",
        "POST / HTTP/1.1\r\n" + own_host() + "\r\nContent-Length: -5\r\n\r\n",
        "POST / HTTP/1.1\r\n" + own_host() + "\r\nContent-Length: 99999999999999999999\r\n\r\n"}) {
    EXPECT_NE(status_of(exchange(text)), 200) << text;
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(Http, AClientThatIsTooSlowIsLeftAndOthersAreServed) {
  limits_.patience = std::chrono::milliseconds(300);
  serve_echo();
  Connection slow(server_->port());
  slow.send(head("POST /", {own_host(), "Content-Length: 100"}) + "only this");
  Connection silent(server_->port());
  EXPECT_EQ(status_of(get({own_host()})), 200);
  EXPECT_NE(status_of(slow.receive()), 200);
  EXPECT_EQ(handled_, 1);
}

TEST_F(Http, AHandlersExceptionIsAnErrorOfTheServer) {
  serve([](const HttpRequest&) -> HttpResponse { throw std::runtime_error("it is broken"); });
  const std::string response = get({own_host()});
  EXPECT_EQ(status_of(response), 500);
  EXPECT_NE(response.find("it is broken"), std::string::npos);
}

TEST_F(Http, HandlersHaveAStackOfUsualSize) {
  serve([](const HttpRequest&) {
    volatile char room[1 << 20];
    for (std::size_t i = 0; i < sizeof room; i += 1024) room[i] = 1;
    return HttpResponse{};
  });
  EXPECT_EQ(status_of(get({own_host()})), 200);
}

TEST_F(Http, APortThatIsTakenIsNamed) {
  serve_echo();
  try {
    HttpServer second(server_->port(), [](const HttpRequest&) { return HttpResponse{}; });
    FAIL() << "two servers on one port";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(server_->port())), std::string::npos);
  }
}

TEST_F(Http, NoOtherAddressIsListenedOn) {
  serve_echo();
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(server_->port());
  place.sin_addr.s_addr = inet_addr("127.0.0.2");
  EXPECT_NE(::connect(socket, reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
  ::close(socket);
}

TEST_F(Http, ManyClientsAreServedAtOnce) {
  limits_.connections = 8;
  std::atomic<int> inside{0};
  serve([&](const HttpRequest&) {
    // Nobody leaves before all are there.
    ++inside;
    while (inside < 8) std::this_thread::yield();
    return HttpResponse{};
  });
  std::vector<std::future<std::string>> clients;
  for (int i = 0; i < 8; ++i)
    clients.push_back(std::async(std::launch::async, [this] { return get({own_host()}); }));
  for (auto& client : clients) EXPECT_EQ(status_of(client.get()), 200);
}

// --- With a model
// ------------------------------------------------------------------------------------

class HttpModel : public Http {
 protected:
  void serve_model() {
    serve([this](const HttpRequest& request) { return endpoint_(request); });
  }

  std::future<std::string> ask() {
    return std::async(std::launch::async, [this] {
      const std::string body = R"({"prompt":[1,2],"max_tokens":2,"temperature":0})";
      return exchange(head("POST /v1/completions",
                           {own_host(), "Content-Length: " + std::to_string(body.size())}) +
                      body);
    });
  }

  test::FakeModel model_;
  ServedModel served_{"fake", 0, {}, {}};
  std::atomic<bool> cancel_{false};
  ModelRun run_{0, {}, &cancel_};
  CompletionsEndpoint endpoint_{model_, served_, run_};
};

TEST_F(HttpModel, TheModelIsAskedOneRequestAtATime) {
  serve_model();
  std::vector<std::future<std::string>> clients;
  for (int i = 0; i < 12; ++i) clients.push_back(ask());
  std::string first;
  for (auto& client : clients) {
    const std::string response = client.get();
    EXPECT_EQ(status_of(response), 200);
    if (first.empty()) first = body_of(response);
    EXPECT_EQ(body_of(response), first);
  }
  EXPECT_EQ(model_.most_running, 1);
  EXPECT_EQ(model_.generate_calls, 12);
}

TEST_F(HttpModel, EndsInTheMiddleOfARequest) {
  serve_model();
  model_.holding = true;
  auto client = ask();
  while (model_.running == 0) std::this_thread::yield();
  cancel_ = true;
  HttpServer::wait_for(cancel_);
  const std::uint16_t port = server_->port();
  server_.reset();
  EXPECT_EQ(status_of(client.get()), 503);
  EXPECT_FALSE(Connection(port).connected());
}

}  // namespace
}  // namespace suture::serve
