#include "ingest/fetch.h"

#include <arpa/inet.h>
#include <brotli/encode.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <list>
#include <mutex>
#include <thread>

#include "base/text.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using Steady = std::chrono::steady_clock;

// ---- a server that answers with exactly the bytes a test wants

struct Exchange {
  int fd;
  std::string request;  // up to and with the empty line
  std::stop_token stop;
  struct Busy {
    std::atomic<int> now{0}, most{0};
  } & busy;  // exchanges that are in wait()

  std::string path() const {
    const std::size_t from = request.find(' ') + 1;
    return request.substr(from, request.find(' ', from) - from);
  }
  std::optional<std::string> header(std::string_view name) const {
    for (const std::string_view line : split(request, '\n')) {
      const std::size_t colon = line.find(':');
      if (colon != std::string_view::npos && equal_ignoring_case(line.substr(0, colon), name)) return std::string(trim(line.substr(colon + 1)));
    }
    return std::nullopt;
  }
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  bool reply(std::string_view status, std::string_view headers, std::string_view body = {}) const {
    return send(fmt::format("HTTP/1.1 {}\r\n{}Content-Length: {}\r\n\r\n{}", status, headers, body.size(), body));
  }
  void wait(milliseconds time) const {  // or until the server stops
    const int now = ++busy.now;
    for (int most = busy.most; now > most && !busy.most.compare_exchange_weak(most, now);) {}
    for (const auto until = Steady::now() + time; Steady::now() < until && !stop.stop_requested();) std::this_thread::sleep_for(milliseconds(5));
    --busy.now;
  }
};

class Server {
 public:
  using Handler = std::function<bool(const Exchange&)>;  // false closes the connection
  explicit Server(Handler handler, const char* address = "127.0.0.1") : handler_(std::move(handler)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in at{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {inet_addr(address)}};
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(fd_, 512), 0);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port = ntohs(at.sin_port);
    acceptor_ = std::jthread([this](const std::stop_token& stop) { accept_all(stop); });
  }
  ~Server() {
    acceptor_.request_stop();
    acceptor_.join();
    for (auto& thread : connections_) thread.request_stop();
    connections_.clear();
    ::close(fd_);
  }
  std::string url(std::string_view path = "/", std::string_view host = "127.0.0.1") const { return fmt::format("http://{}:{}{}", host, port, path); }

  std::uint16_t port = 0;
  std::atomic<int> connected{0}, open{0}, requests{0};
  Exchange::Busy busy;

 private:
  void accept_all(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
      ::poll(&ready, 1, 20);
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ++connected;
      ++open;
      connections_.emplace_back([this, fd](const std::stop_token& inner) {
        serve(fd, inner);
        --open;
        ::close(fd);
      });
    }
  }
  void serve(int fd, const std::stop_token& stop) {
    for (std::string pending; !stop.stop_requested();) {
      const std::size_t end = pending.find("\r\n\r\n");
      if (end != std::string::npos) {
        ++requests;
        const Exchange exchange{fd, pending.substr(0, end + 4), stop, busy};
        pending.erase(0, end + 4);
        if (!handler_(exchange)) return;
        continue;
      }
      pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 20) <= 0) continue;
      char buffer[4096];
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      pending.append(buffer, static_cast<std::size_t>(n));
    }
  }

  Handler handler_;
  int fd_ = -1;
  std::list<std::jthread> connections_;
  std::jthread acceptor_;
};

// ---- the fetcher under test, on a thread of its own

const Dialer& loopback() {
  static const Dialer dialer = *Dialer::allowing(std::vector<std::string>{"127.0.0.0/8"});
  return dialer;
}

class Running {
 public:
  explicit Running(FetchOptions options = {}, const Dialer& dialer = loopback()) : fetcher_(*CurlFetcher::open(dialer, std::move(options))) {
    loop_ = std::jthread([this](const std::stop_token& stop) { fetcher_->run(stop); });
  }
  ~Running() { stop(); }
  std::future<Result<FetchReply>> start(FetchRequest request) {
    auto promise = std::make_shared<std::promise<Result<FetchReply>>>();
    fetcher_->fetch(std::move(request), [promise](Result<FetchReply> reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  }
  Result<FetchReply> get(FetchRequest request) { return start(std::move(request)).get(); }
  Result<FetchReply> open(std::string url) { return get(FetchRequest{.url = std::move(url), .urgency = FetchUrgency::interactive}); }
  void stop() {
    loop_.request_stop();
    if (loop_.joinable()) loop_.join();
  }
  CurlFetcher& fetcher() { return *fetcher_; }

 private:
  std::unique_ptr<CurlFetcher> fetcher_;
  std::jthread loop_;
};

Code code_of(const Result<FetchReply>& result) {
  EXPECT_FALSE(result) << "status " << (result ? result->status : 0);
  return result ? Code::internal : result.error().code;
}

// ---- what a reply says

TEST(Fetch, ValidatorsGoBackByteForByte) {
  const Server server([](const Exchange& e) {
    if (e.header("If-None-Match") == "W/\"a \\ b\"" && e.header("If-Modified-Since") == "Tue, 24 Nov 2026 03:00:00 +0100")
      return e.reply("304 Not Modified", "");
    return e.reply(
        "200 OK",
        "ETag: W/\"a \\ b\"\r\nLast-Modified: Tue, 24 Nov 2026 03:00:00 +0100\r\nContent-Type: text/xml; charset=gbk\r\nCache-Control: max-age=600\r\n",
        "<rss/>");
  });
  Running weir;
  const auto first = weir.open(server.url("/feed#part"));
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_EQ(first->status, 200);
  EXPECT_EQ(first->body, "<rss/>");
  EXPECT_EQ(first->content_type, "text/xml; charset=gbk");
  EXPECT_EQ(first->url, server.url("/feed"));
  EXPECT_EQ(first->moved_to, std::nullopt);
  EXPECT_EQ(first->max_age, seconds(600));
  EXPECT_GT(first->wire_bytes, 100u);
  const auto second = weir.get({.url = server.url("/feed"), .etag = first->etag, .last_modified = first->last_modified});
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_EQ(second->status, 304);
  EXPECT_EQ(second->body, "");
}

TEST(Fetch, AStoredValidatorCannotStartAHeader) {
  const Server server(
      [](const Exchange& e) { return e.reply("200 OK", "", e.header("X-Evil").value_or("none") + e.header("If-None-Match").value_or("none")); });
  Running weir;
  EXPECT_EQ(weir.get({.url = server.url(), .etag = "\"a\"\r\nX-Evil: 1"})->body, "nonenone");
}

TEST(Fetch, SaysWhoItIsAndWhatItWants) {
  const Server server([](const Exchange& e) { return e.reply("200 OK", "", e.request); });
  Running weir;
  const std::string feed = weir.open(server.url())->body;
  EXPECT_THAT(feed, HasSubstr("User-Agent: Weir/0.1.0 (+feed reader)\r\n"));
  EXPECT_THAT(feed, HasSubstr("Accept-Encoding: gzip, br, zstd"));
  EXPECT_THAT(feed, HasSubstr("application/rss+xml"));
  EXPECT_THAT(feed, Not(HasSubstr("Cookie")));
  EXPECT_THAT(weir.get({.url = server.url(), .purpose = FetchPurpose::icon})->body, HasSubstr("Accept: image/"));
}

TEST(Fetch, EveryStatusIsAReply) {
  const Server server([](const Exchange& e) { return e.reply(e.path().substr(1) + " Whatever", "Retry-After: 120\r\n", "some words"); });
  Running weir;
  for (const int status : {404, 410, 429, 500, 503}) {
    const auto reply = weir.open(server.url(fmt::format("/{}", status)));
    ASSERT_TRUE(reply) << reply.error().text();
    EXPECT_EQ(reply->status, status);
    EXPECT_EQ(reply->retry_after, seconds(120));
    EXPECT_EQ(reply->body, "") << "nobody reads the body of an error";
  }
}

TEST(Fetch, ALongErrorPageIsCutOffAndIsStillAReply) {
  const Server server([](const Exchange& e) { return e.reply("500 Oh", "", std::string(4 << 20, 'x')) && false; });
  Running weir;
  const auto reply = weir.open(server.url());
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_EQ(reply->status, 500);
}

TEST(Fetch, InterimRepliesAndTrailersSayNothing) {
  const Server server([](const Exchange& e) {
    return e.send(
        "HTTP/1.1 103 Early Hints\r\nETag: \"early\"\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: "
        "\"true\"\r\n\r\n3\r\nabc\r\n0\r\nLast-Modified: trailer\r\n\r\n");
  });
  Running weir;
  const auto reply = weir.open(server.url());
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_EQ(reply->etag, "\"true\"");
  EXPECT_EQ(reply->last_modified, "");
  EXPECT_EQ(reply->body, "abc");
}

// ---- redirects

// /N/S1/S2/… answers with status S1 and leads to /S2/…; the end is 200.
bool chain(const Exchange& e) {
  const std::string path = e.path();
  if (path == "/") return e.reply("200 OK", "", "there");
  const std::size_t slash = path.find('/', 1);
  const std::string rest = slash == std::string::npos ? "/" : path.substr(slash);
  return e.reply(path.substr(1, 3) + " Moved", "Location: " + rest + "\r\n");
}

TEST(Redirect, MovedOnlyWhenEveryHopWasPermanent) {
  const Server server(chain);
  Running weir;
  for (const char* path : {"/301", "/308", "/301/308/301"}) {
    const auto reply = weir.open(server.url(path));
    ASSERT_TRUE(reply) << reply.error().text();
    EXPECT_EQ(reply->moved_to, server.url("/")) << path;
    EXPECT_EQ(reply->url, server.url("/"));
  }
  for (const char* path : {"/302", "/301/302", "/307/301", "/303/308"}) {
    const auto reply = weir.open(server.url(path));
    ASSERT_TRUE(reply) << reply.error().text();
    EXPECT_EQ(reply->body, "there");
    EXPECT_EQ(reply->moved_to, std::nullopt) << path;
  }
  EXPECT_EQ(weir.open(server.url("/301/404"))->moved_to, std::nullopt) << "nobody moves to a place that is not there";
}

TEST(Redirect, FiveAndNoMore) {
  const Server server(chain);
  Running weir;
  const auto five = weir.open(server.url("/302/302/302/302/302"));
  ASSERT_TRUE(five) << five.error().text();
  EXPECT_EQ(five->hops, 5);
  const auto six = weir.open(server.url("/302/302/302/302/302/302"));
  EXPECT_EQ(code_of(six), Code::malformed);
  const Server circle([](const Exchange& e) { return e.reply("301 Moved", "Location: /\r\n"); });
  EXPECT_EQ(code_of(weir.open(circle.url())), Code::malformed);
  EXPECT_EQ(circle.requests, 6);
}

TEST(Redirect, LeadsOnlyToHttpAndOnlyWhereTheDialerGoes) {
  std::atomic<int> n{0};
  const std::vector<std::string> refused = {"file:///etc/passwd",   "gopher://127.0.0.1:70/", "ftp://127.0.0.1/", "dict://127.0.0.1:11211/stats",
                                            "data:text/xml,<rss/>", "javascript:1",           "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/",
                                            "http://[::1]/",        "http://0x0a000001/",     "//192.168.0.1/",   "http://127.0.0.1:6379/"};
  const Server server([&](const Exchange& e) { return e.reply("302 Found", "Location: " + refused[static_cast<std::size_t>(n)] + "\r\n"); });
  Running weir;
  for (; n < static_cast<int>(refused.size()); ++n) EXPECT_EQ(code_of(weir.open(server.url())), Code::refused) << refused[static_cast<std::size_t>(n)];
  const Server nowhere([](const Exchange& e) { return e.reply("301 Moved", e.path() == "/a" ? "" : "Location: http://[broken\r\n"); });
  EXPECT_EQ(code_of(weir.open(nowhere.url("/a"))), Code::malformed);
  EXPECT_EQ(code_of(weir.open(nowhere.url("/b"))), Code::malformed);
}

// ---- credentials

TEST(Credentials, GoToTheirOriginAloneAndAreNeverShown) {
  const Server other([](const Exchange& e) { return e.reply("200 OK", "", e.header("Authorization").value_or("none")); });
  const Server server([&](const Exchange& e) {
    if (e.path() == "/away") return e.reply("301 Moved", fmt::format("Location: {}\r\n", other.url()));
    if (e.path() == "/gift") return e.reply("302 Found", fmt::format("Location: http://evil:gift@127.0.0.1:{}/\r\n", other.port));
    if (e.path() == "/here") return e.reply("301 Moved", "Location: /there\r\n");
    return e.reply("200 OK", "", e.header("Authorization").value_or("none"));
  });
  Running weir;
  const auto with = [&](std::string_view path) { return fmt::format("http://me:p%40ss@127.0.0.1:{}{}", server.port, path); };
  const auto here = weir.open(with("/here"));
  ASSERT_TRUE(here) << here.error().text();
  EXPECT_EQ(here->body, "Basic bWU6cEBzcw==");
  EXPECT_EQ(here->url, server.url("/there"));
  EXPECT_EQ(here->moved_to, with("/there"));
  const auto away = weir.open(with("/away"));
  ASSERT_TRUE(away) << away.error().text();
  EXPECT_EQ(away->body, "none");
  EXPECT_EQ(away->moved_to, other.url());
  EXPECT_EQ(weir.open(with("/gift"))->body, "none");
  for (const auto& url :
       {std::string("http://me:p%40ss@10.0.0.1/feed"), std::string("ftp://me:p%40ss@a.example/"), std::string("http://me:p%40ss@"), with("/x") + "\x01:bad"}) {
    const auto reply = weir.open(url);
    EXPECT_THAT(reply ? reply->url : reply.error().text(), Not(testing::AnyOf(HasSubstr("p%40ss"), HasSubstr("p@ss"))));
  }
}

// ---- compression

std::string gzip(std::string_view plain, int window = 15 + 16) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, plain.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  z.avail_in = static_cast<uInt>(plain.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}
std::string brotli(std::string_view plain) {
  std::size_t size = BrotliEncoderMaxCompressedSize(plain.size()) + 1024;
  std::string out(size, '\0');
  EXPECT_TRUE(BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, plain.size(), reinterpret_cast<const std::uint8_t*>(plain.data()), &size,
                                    reinterpret_cast<std::uint8_t*>(out.data())));
  out.resize(size);
  return out;
}
std::string zstd(std::string_view plain) {
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
  return out;
}

TEST(Compression, FourCodingsAndNone) {
  const std::string plain = "<rss>" + std::string(5000, 'a') + "</rss>";
  const Server server([&](const Exchange& e) {
    const std::string coding = e.path().substr(1);
    return e.reply("200 OK", "Content-Encoding: " + coding + "\r\n",
                   coding == "gzip" || coding == "x-gzip" ? gzip(plain)
                   : coding == "deflate"                  ? gzip(plain, 15)
                   : coding == "br"                       ? brotli(plain)
                   : coding == "zstd"                     ? zstd(plain)
                                                          : plain);
  });
  Running weir;
  for (const char* coding : {"gzip", "x-gzip", "deflate", "br", "zstd", "identity", "utf-8"}) {
    const auto reply = weir.open(server.url(fmt::format("/{}", coding)));
    ASSERT_TRUE(reply) << coding << ": " << reply.error().text();
    EXPECT_EQ(reply->body, plain) << coding;
  }
}

TEST(Compression, BombsEndAtTheLimit) {
  const std::string zeros(64 << 20, '\0');
  const std::string bombs[] = {gzip(zeros), brotli(zeros), zstd(zeros)};
  const Server server([&](const Exchange& e) {
    const std::size_t which = e.path() == "/gzip" ? 0 : e.path() == "/br" ? 1 : 2;
    return e.reply("200 OK", "Content-Encoding: " + e.path().substr(1) + "\r\n", bombs[which]) && false;
  });
  Running weir;
  for (const char* coding : {"/gzip", "/br", "/zstd"}) {
    const auto reply = weir.open(server.url(coding));
    EXPECT_EQ(code_of(reply), Code::too_large) << coding;
    EXPECT_THAT(reply.error().message, HasSubstr("100-fold"));
  }
}

TEST(Compression, TheLimitIsOnWhatComesOut) {
  std::string text;
  for (int i = 0; text.size() < (3u << 20); ++i) text += std::to_string(i * 2654435761u);
  const std::string small = gzip(text);
  ASSERT_LT(small.size(), 2u << 20);
  const Server server([&](const Exchange& e) { return e.reply("200 OK", "Content-Encoding: gzip\r\n", small) && false; });
  Running weir;
  EXPECT_EQ(code_of(weir.get({.url = server.url(), .limit = 2u << 20})), Code::too_large);
  EXPECT_EQ(weir.get({.url = server.url()})->body, text);
}

TEST(Compression, OnceAndHonestly) {
  const Server server([&](const Exchange& e) {
    if (e.path() == "/twice") return e.reply("200 OK", "Content-Encoding: gzip, gzip\r\n", gzip(gzip("<rss/>"))) && false;
    if (e.path() == "/apart") return e.reply("200 OK", "Content-Encoding: gzip\r\nContent-Encoding: br\r\n", brotli(gzip("<rss/>"))) && false;
    return e.reply("200 OK", "Content-Encoding: gzip\r\n", "<rss/>") && false;
  });
  Running weir;
  for (const char* path : {"/twice", "/apart", "/lie"}) EXPECT_EQ(code_of(weir.open(server.url(path))), Code::malformed) << path;
}

TEST(Compression, WhatStandsBehindItsEnd) {
  const Server server([](const Exchange& e) {
    const bool plain = e.header("Accept-Encoding") == "identity";
    if (e.path() == "/pieces" && plain) return e.reply("200 OK", "", "<rss></rss>");
    if (e.path() == "/pieces") return e.reply("200 OK", "Content-Encoding: gzip\r\n", gzip("<rss>") + gzip("</rss>"));
    if (e.path() == "/br") return e.reply("200 OK", "Content-Encoding: br\r\n", brotli("<rss></rss>") + "<!-- by a proxy -->");
    return e.reply("200 OK", "Content-Encoding: gzip\r\n", gzip("<rss></rss>") + "<!-- by a proxy -->");  // whatever is asked for
  });
  Running weir;
  for (const char* path : {"/pieces", "/garbage", "/br"}) {
    const auto reply = weir.open(server.url(path));
    ASSERT_TRUE(reply) << path << ": " << reply.error().text();
    EXPECT_EQ(reply->body, "<rss></rss>") << path;
  }
}

// ---- sizes and times

TEST(Limits, EndlessBodies) {
  const Server server([](const Exchange& e) {
    if (e.path() == "/announced") return e.send("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx") && false;
    e.send(e.path() == "/chunked" ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" : "HTTP/1.1 200 OK\r\n\r\n");
    const std::string block(65536, 'x'), chunk = "10000\r\n" + block + "\r\n";
    while (e.send(e.path() == "/chunked" ? chunk : block)) {}
    return false;
  });
  Running weir;
  for (const char* path : {"/announced", "/chunked", "/until-close"}) EXPECT_EQ(code_of(weir.open(server.url(path))), Code::too_large) << path;
}

TEST(Limits, Headers) {
  const Server server([](const Exchange& e) {
    if (e.path() == "/many") {
      e.send("HTTP/1.1 200 OK\r\n");
      while (e.send("X-Filler: " + std::string(1000, 'x') + "\r\n")) {}
      return false;
    }
    if (e.path() == "/interim") {
      while (e.send("HTTP/1.1 100 Continue\r\n\r\n")) {}
      return false;
    }
    if (e.path() == "/fits") return e.reply("200 OK", "X-Filler: " + std::string(60'000, 'x') + "\r\n", "ok");
    return e.reply("200 OK", "X-Filler: " + std::string(70'000, 'x') + "\r\n", "ok") && false;
  });
  Running weir;
  EXPECT_EQ(weir.open(server.url("/fits"))->body, "ok");
  for (const char* path : {"/one", "/many", "/interim"}) EXPECT_EQ(code_of(weir.open(server.url(path))), Code::too_large) << path;
}

TEST(Limits, Times) {
  const Server server([](const Exchange& e) {
    if (e.path() == "/silent") return e.wait(seconds(20)), false;
    std::string_view slow = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    if (e.path() == "/body") e.send(std::exchange(slow, {}));
    for (std::size_t i = 0; i < 2000 && !e.stop.stop_requested(); ++i) {
      if (!e.send(i < slow.size() ? slow.substr(i, 1) : "x")) return false;
      e.wait(milliseconds(20));
    }
    return false;
  });
  Running weir({.first_byte = milliseconds(400), .slow_from = milliseconds(600)});
  for (const char* path : {"/silent", "/headers", "/body"}) {
    const auto start = Steady::now();
    const auto reply = weir.open(server.url(path));
    EXPECT_EQ(code_of(reply), Code::timeout) << path;
    EXPECT_LT(Steady::now() - start, seconds(3)) << path;
  }
  Running patient;
  const auto start = Steady::now();
  EXPECT_EQ(code_of(patient.get({.url = server.url("/body"), .deadline = milliseconds(700)})), Code::timeout);
  EXPECT_LT(Steady::now() - start, seconds(2));
}

TEST(Limits, TheDeadlineIsForAllHopsTogether) {
  const Server server([](const Exchange& e) {
    e.wait(milliseconds(250));
    return chain(e);
  });
  Running weir;
  EXPECT_EQ(code_of(weir.get({.url = server.url("/302/302/302/302/302"), .deadline = milliseconds(700)})), Code::timeout);
}

TEST(Limits, AServerThatNeverSpeaksTls) {
  const Server server([](const Exchange&) { return true; });
  Running weir({.connect = milliseconds(400)});
  const auto start = Steady::now();
  EXPECT_EQ(code_of(weir.open(fmt::format("https://127.0.0.1:{}/", server.port))), Code::timeout);
  EXPECT_LT(Steady::now() - start, seconds(2));
}

TEST(Limits, BytesUnderWayTogether) {
  const Server server([](const Exchange& e) { return e.reply("200 OK", "", std::string(200'000, 'x')); });
  Running weir({.bodies = 100'000});
  EXPECT_EQ(code_of(weir.open(server.url())), Code::unavailable);
}

// ---- broken connections

TEST(Broken, EveryKind) {
  std::uint16_t closed_port = 0;
  {
    const Server gone([](const Exchange&) { return false; });
    closed_port = gone.port;
  }
  const Server server([](const Exchange& e) {
    if (e.path() == "/cut") return e.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this") && false;
    if (e.path() == "/cut-chunk") return e.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nonly this") && false;
    if (e.path() == "/reset") {
      e.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
      const linger now{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(e.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      return false;
    }
    if (e.path() == "/nothing") return false;
    if (e.path() == "/old") return e.send("<rss/> without any header") && false;
    if (e.path() == "/chunk") return e.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n") && false;
    return e.send("HTTP/1.1 banana\r\n\r\n") && false;
  });
  Running weir;
  for (const char* path : {"/cut", "/cut-chunk", "/reset", "/nothing"}) EXPECT_EQ(code_of(weir.open(server.url(path))), Code::io) << path;
  for (const char* path : {"/old", "/banana"}) EXPECT_EQ(code_of(weir.open(server.url(path))), Code::malformed) << path;
  EXPECT_FALSE(weir.open(server.url("/chunk")));
  EXPECT_EQ(code_of(weir.open(fmt::format("http://127.0.0.1:{}/", closed_port))), Code::io);
  EXPECT_EQ(code_of(weir.open("http://no-such-host.invalid/")), Code::io);
  EXPECT_EQ(code_of(weir.open("not a url")), Code::invalid);
  EXPECT_EQ(code_of(weir.open("file:///etc/passwd")), Code::refused);
}

TEST(Broken, NoDescriptorIsOurFaultNotTheSources) {
  const Server server([](const Exchange& e) { return e.reply("200 OK", "", "ok"); });
  Running weir;
  ASSERT_TRUE(weir.open(server.url()));
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit low{.rlim_cur = 256, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &low);
  std::vector<int> all;
  for (int fd; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) all.push_back(fd);
  auto waiting = weir.start({.url = server.url()});
  EXPECT_EQ(waiting.wait_for(milliseconds(500)), std::future_status::timeout);
  for (const int fd : all) ::close(fd);
  ::setrlimit(RLIMIT_NOFILE, &before);
  const auto reply = waiting.get();
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_EQ(reply->body, "ok");
}

TEST(Broken, ProxiesOfTheEnvironmentAreNotAsked) {
  const Server proxy([](const Exchange& e) { return e.reply("200 OK", "", "proxy"); });
  const Server server([](const Exchange& e) { return e.reply("200 OK", "", "server"); });
  for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) ::setenv(name, proxy.url().c_str(), 1);
  {
    Running weir;
    EXPECT_EQ(weir.open(server.url())->body, "server");
  }
  for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
  EXPECT_EQ(proxy.connected, 0);
}

// ---- politeness

TEST(Polite, TwoConnectionsAHostAndADelayBetweenPolls) {
  std::mutex mutex;
  std::vector<Steady::time_point> starts;
  const Server server([&](const Exchange& e) {
    {
      const std::scoped_lock lock(mutex);
      starts.push_back(Steady::now());
    }
    e.wait(milliseconds(30));
    return e.reply("200 OK", "");
  });
  Running weir({.host_delay = milliseconds(50)});
  std::vector<std::future<Result<FetchReply>>> all;
  for (int i = 0; i < 12; ++i) all.push_back(weir.start({.url = server.url(fmt::format("/{}", i))}));
  for (auto& one : all) EXPECT_TRUE(one.get());
  EXPECT_LE(server.busy.most, 2);
  std::ranges::sort(starts);
  EXPECT_GE(starts.back() - starts.front(), milliseconds(11 * 50 - 30));
}

TEST(Polite, APersonDoesNotWaitForTheDelayButForAConnection) {
  const Server server([&](const Exchange& e) {
    e.wait(milliseconds(20));
    return e.reply("200 OK", "");
  });
  Running weir({.host_delay = seconds(5)});
  std::vector<std::future<Result<FetchReply>>> polls, people;
  for (int i = 0; i < 3; ++i) polls.push_back(weir.start({.url = server.url("/poll")}));
  const auto start = Steady::now();
  for (int i = 0; i < 10; ++i) people.push_back(weir.start({.url = server.url("/person"), .urgency = FetchUrgency::interactive}));
  for (auto& one : people) EXPECT_TRUE(one.get());
  EXPECT_LT(Steady::now() - start, seconds(2));
  EXPECT_LE(server.busy.most, 2);
  EXPECT_EQ(polls[2].wait_for(milliseconds(0)), std::future_status::timeout);
}

TEST(Polite, NamesOfOneAddressShareItsConnections) {
  const Server server([&](const Exchange& e) {
    e.wait(milliseconds(50));
    return e.reply("200 OK", "");
  });
  Running weir({.host_delay = Duration(0)});
  std::vector<std::future<Result<FetchReply>>> all;
  for (int i = 0; i < 8; ++i)
    for (const char* name : {"localhost", "127.0.0.1", "feeds.localhost"}) all.push_back(weir.start({.url = server.url("/", name)}));
  for (auto& one : all) {
    const auto reply = one.get();
    EXPECT_TRUE(reply) << reply.error().text();
  }
  EXPECT_LE(server.busy.most, 2);
}

TEST(Polite, ABusyHostDoesNotHoldUpOthersAndPeopleFindRoom) {
  const Server slow([](const Exchange& e) { return e.wait(seconds(5)), false; }, "0.0.0.0");
  const Server quick([](const Exchange& e) { return e.reply("200 OK", "", "quick"); });
  Running weir({.in_flight = 16, .host_delay = Duration(0)});
  std::vector<std::future<Result<FetchReply>>> stuck;
  for (int i = 0; i < 100; ++i) stuck.push_back(weir.start({.url = slow.url("/", fmt::format("127.0.1.{}", 1 + i % 50))}));
  const auto start = Steady::now();
  EXPECT_EQ(weir.open(quick.url())->body, "quick");
  EXPECT_LT(Steady::now() - start, seconds(2));
  EXPECT_LE(slow.busy.most, 15);
}

TEST(Polite, AnImpatientPersonIsToldInTime) {
  const Server slow([](const Exchange& e) { return e.wait(seconds(10)), false; });
  Running weir;
  auto one = weir.start({.url = slow.url(), .urgency = FetchUrgency::interactive}), two = weir.start({.url = slow.url(), .urgency = FetchUrgency::interactive});
  const auto start = Steady::now();
  EXPECT_EQ(code_of(weir.get({.url = slow.url(), .urgency = FetchUrgency::interactive, .deadline = milliseconds(500)})), Code::timeout);
  EXPECT_LT(Steady::now() - start, seconds(2));
}

// ---- life

TEST(Life, StopsWithinASecondAndAnswersEverybody) {
  const Server slow([](const Exchange& e) { return e.wait(seconds(20)), false; }, "0.0.0.0");
  Running weir;
  std::vector<std::future<Result<FetchReply>>> all;
  for (int i = 0; i < 100; ++i) all.push_back(weir.start({.url = slow.url("/", fmt::format("127.0.2.{}", 1 + i % 20))}));
  while (slow.requests < 30) std::this_thread::sleep_for(milliseconds(5));
  const auto start = Steady::now();
  weir.stop();
  EXPECT_LT(Steady::now() - start, seconds(1));
  for (auto& one : all) EXPECT_EQ(code_of(one.get()), Code::unavailable);
  EXPECT_EQ(code_of(weir.open(slow.url())), Code::unavailable);
  EXPECT_EQ(weir.fetcher().counters().waiting + weir.fetcher().counters().in_flight, 0u);
}

TEST(Life, AnAnswerMayAskAgain) {
  const Server server([](const Exchange& e) { return e.reply("200 OK", "", e.path()); });
  Running weir;
  std::promise<std::string> last;
  std::function<void(int)> ask = [&](int n) {
    weir.fetcher().fetch({.url = server.url(fmt::format("/{}", n)), .urgency = FetchUrgency::interactive}, [&, n](Result<FetchReply> reply) {
      if (!reply || n == 20) last.set_value(reply ? reply->body : reply.error().text());
      else ask(n + 1);
    });
  };
  ask(1);
  EXPECT_EQ(last.get_future().get(), "/20");
}

TEST(Life, WhatIsAskedBeforeTheLoopRunsIsNotLostAndTooMuchIsRefused) {
  const Server server([](const Exchange& e) { return e.reply("200 OK", "", "ok"); });
  auto fetcher = *CurlFetcher::open(loopback(), {.waiting = 3, .host_delay = Duration(0)});
  std::atomic<int> ok{0}, full{0};
  for (int i = 0; i < 5; ++i)
    fetcher->fetch({.url = server.url()}, [&](Result<FetchReply> reply) { reply ? ++ok : reply.error().code == Code::unavailable ? ++full : 0; });
  EXPECT_EQ(full, 2);
  std::jthread loop([&](const std::stop_token& stop) { fetcher->run(stop); });
  for (int i = 0; i < 400 && ok < 3; ++i) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(ok, 3);
}

TEST(Life, ConnectionsDoNotStayOpenForNobody) {
  const Server server([](const Exchange& e) { return e.reply("200 OK", "", "ok"); });
  Running weir;
  ASSERT_TRUE(weir.open(server.url()));
  for (int i = 0; i < 200 && server.open > 0; ++i) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(server.open, 0);
}

TEST(Fault, FailsTheNthCallAndOnlyThat) {
  const Server server([](const Exchange& e) { return e.reply("200 OK", "", "abcd"); });
  Running weir;
  using Kind = FaultFetcher::Fault;
  for (const auto kind : {Kind::error, Kind::lost, Kind::cut_short}) {
    FaultFetcher faulty(weir.fetcher(), 2, kind);
    for (int i = 1; i <= 3; ++i) {
      std::promise<Result<FetchReply>> promise;
      const int before = server.requests;
      faulty.fetch({.url = server.url(), .urgency = FetchUrgency::interactive}, [&](Result<FetchReply> reply) { promise.set_value(std::move(reply)); });
      const auto reply = promise.get_future().get();
      if (i == 2 && kind != Kind::cut_short) {
        EXPECT_EQ(code_of(reply), kind == Kind::error ? Code::io : Code::timeout);
      } else {
        EXPECT_EQ(reply->body, i == 2 ? "ab" : "abcd");
      }
      EXPECT_EQ(server.requests - before, i == 2 && kind == Kind::error ? 0 : 1);
    }
    EXPECT_EQ(faulty.calls(), 3u);
  }
}

}  // namespace
}  // namespace weir
