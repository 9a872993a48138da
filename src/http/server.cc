// One of the homes of Boost.Beast (26 s to compile). Coroutines run on one I/O thread, so what they share needs no lock. g++ 12 destroys a lambda or
// aggregate twice when it is a temporary in the full expression of a co_await: every one gets a name first.
#include "http/server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <chrono>
#include <ctime>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "http/workers.h"

namespace weir::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace wire = boost::beast::http;
using Tcp = asio::ip::tcp;
using Unix = asio::local::stream_protocol;
using std::chrono::seconds;
using SteadyTime = std::chrono::steady_clock::time_point;
using ErrorCode = boost::system::error_code;

constexpr auto token = asio::as_tuple(asio::use_awaitable);
constexpr auto head_time = seconds(10), idle_time = seconds(75), body_time = seconds(30), write_time = seconds(60), linger_time = seconds(2);
constexpr auto heartbeat = seconds(15), drain_time = seconds(5);
constexpr std::size_t head_limit = 16 << 10, write_piece = 256 << 10, linger_bytes = 1 << 20, stream_queue = 1000;
constexpr std::size_t body_bytes_a_second = 64 << 10;

std::string_view reason(int status) { return wire::obsolete_reason(static_cast<wire::status>(status)); }

std::string date_now() {
  static thread_local std::time_t last = 0;
  static thread_local std::array<char, 40> text{};
  if (const std::time_t now = std::time(nullptr); now != last) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    last = now;
  }
  return text.data();
}

bool is_clean(std::string_view value) {
  return std::ranges::none_of(value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string head_of(const Response& response, bool close) {
  const bool stream = std::holds_alternative<EventStream>(response.body);
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, reason(response.status), date_now());
  for (const auto& [name, value] : response.headers)
    if (is_clean(value)) head += fmt::format("{}: {}\r\n", name, value);
  if (!stream && response.status != 204 && response.status != 304) head += fmt::format("Content-Length: {}\r\n", response.bytes().size());
  head += close || stream ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n";
  return head;
}

// What the error of a parser is to the client: a status, or nothing when there is nobody to tell.
std::optional<std::pair<int, std::string_view>> status_of(const ErrorCode& error) {
  if (error == wire::error::header_limit) return std::pair(431, std::string_view("the head of the request has more than 16 KiB"));
  if (error == wire::error::body_limit) return std::pair(413, std::string_view("the body is larger than this path takes"));
  if (error == wire::error::end_of_stream || error == wire::error::partial_message) return std::nullopt;
  if (error.category() == wire::make_error_code(wire::error::bad_method).category()) return std::pair(400, std::string_view("this is not HTTP/1.1"));
  return std::nullopt;
}

std::string_view code_of(int status) {
  if (status == 413 || status == 431) return "too_large";
  return "malformed";
}

// Messages waiting for one client of /events: filled by any thread, emptied by the client's coroutine.
struct Outbox : std::enable_shared_from_this<Outbox> {
  explicit Outbox(const asio::any_io_executor& e) : executor(e), bell(e) { bell.expires_at(SteadyTime::max()); }

  void put(Sealed<std::string> message) {
    const std::scoped_lock lock(mutex);
    if (waiting.size() < stream_queue) waiting.push_back(std::move(message));
    else overflow = true;  // too slow: it comes back with Last-Event-ID
    if (!std::exchange(rung, true))
      asio::post(executor, [self = weak_from_this()] {
        if (auto box = self.lock()) box->bell.cancel();
      });
  }
  std::deque<Sealed<std::string>> take() {
    const std::scoped_lock lock(mutex);
    rung = false;
    return std::exchange(waiting, {});
  }

  asio::any_io_executor executor;
  asio::steady_timer bell;  // I/O thread
  bool gone = false;        // I/O thread: the client closed
  bool look_again = false;  // I/O thread: something was ended, ask alive()
  std::mutex mutex;
  std::deque<Sealed<std::string>> waiting;
  bool rung = false;
  std::atomic<bool> overflow{false};
};

struct Connection {
  std::function<void()> close;
  bool idle = true;
  SteadyTime since{};
};

Result<Tcp::endpoint> endpoint(std::string_view listen) {
  const auto colon = listen.rfind(':');
  std::string_view host = listen.substr(0, colon == std::string_view::npos ? 0 : colon);
  const std::string_view digits = colon == std::string_view::npos ? "" : listen.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  ErrorCode bad;
  const auto address = asio::ip::make_address(std::string(host), bad);
  if (bad || error != std::errc() || digits.empty() || end != digits.data() + digits.size())
    return fail(Code::invalid, "not an address to listen on", std::string(listen), "give ADDR:PORT, as 127.0.0.1:8088");
  return Tcp::endpoint(address, port);
}

// A name for the socket that fits sockaddr_un: a long path goes through a descriptor of its folder, which `folder` keeps open.
std::string short_name(const std::filesystem::path& path, int& folder) {
  if (path.native().size() < 100) return path.native();
  folder = ::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  return fmt::format("/proc/self/fd/{}/{}", folder, path.filename().native());
}

}  // namespace

Status check_listen(std::string_view listen) {
  TRY(endpoint(listen));
  return {};
}

struct Server::Parts {
  const Router& router;
  ServerOptions options;
  asio::io_context io{1};
  Tcp::acceptor tcp{io};
  Unix::acceptor local{io};
  std::set<Connection*> connections;          // I/O thread
  std::set<std::shared_ptr<Outbox>> streams;  // I/O thread
  asio::steady_timer room{io};                // rung when a connection has gone
  bool stopping = false;                      // I/O thread
  SteadyTime complained{};                    // I/O thread: when a full table of descriptors was last logged
  std::promise<void> drained;
  bool drained_said = false;
  std::string address;
  std::optional<Workers> fast, ingest, slow, hash;
  std::jthread thread;
  bool stopped = false;

  Parts(const Router& r, ServerOptions o) : router(r), options(std::move(o)) {}

  Workers& lane(Lane which) {
    switch (which) {
      case Lane::fast: return *fast;
      case Lane::ingest: return *ingest;
      case Lane::slow: return *slow;
      case Lane::hash: return *hash;
    }
    return *fast;
  }

  Status listen_tcp();
  Status listen_local();
  void begin();
  void quit();
  void end_streams(bool look_only);
  void forget(Connection* connection);

  template <class Acceptor>
  asio::awaitable<void> accept(Acceptor& acceptor);
  template <class Stream>
  asio::awaitable<void> serve(Stream stream, std::string peer, bool is_local);
  template <class Stream>
  asio::awaitable<bool> exchange(Stream& stream, beast::flat_buffer& buffer, const std::string& peer, bool is_local, Connection& me);
  template <class Stream>
  asio::awaitable<bool> write(Stream& stream, const Response& response, bool head_only, bool close);
  template <class Stream>
  asio::awaitable<void> stream_events(Stream& stream, const EventStream& events);
  template <class Stream>
  asio::awaitable<void> linger(Stream& stream);

  // Runs `work` on a lane and comes back to the I/O thread; false when the lane is full.
  asio::awaitable<bool> on_lane(Lane which, const std::function<void()>& work);
};

// ---- listening

Status Server::Parts::listen_tcp() {
  if (options.listen.empty()) return {};
  const Tcp::endpoint where = TRY(endpoint(options.listen));
  ErrorCode error;
  tcp.open(where.protocol(), error);
  if (!error) tcp.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) tcp.bind(where, error);
  if (!error) tcp.listen(1024, error);
  if (error) return fail(Code::io, "cannot listen: " + error.message(), options.listen, "give another --listen, or stop what uses it");
  const auto bound = tcp.local_endpoint(error);
  address = bound.address().is_v6() ? fmt::format("[{}]:{}", bound.address().to_string(), bound.port())
                                    : fmt::format("{}:{}", bound.address().to_string(), bound.port());
  return {};
}

Status Server::Parts::listen_local() {
  if (options.socket.empty()) return {};
  int folder = -1;
  const std::string name = short_name(options.socket, folder);
  ErrorCode error;
  {
    Unix::socket probe(io);
    probe.connect(Unix::endpoint(name), error);
    if (!error) {
      if (folder >= 0) ::close(folder);
      return fail(Code::exists, "another server answers here", options.socket.string());
    }
  }
  ::unlink(options.socket.c_str());  // of a server that was killed
  local.open(Unix(), error);
  if (!error && ::fchmod(local.native_handle(), 0600) != 0) error = ErrorCode(errno, boost::system::system_category());  // the mode it is bound with
  if (!error) local.bind(Unix::endpoint(name), error);
  if (!error) local.listen(128, error);
  if (folder >= 0) ::close(folder);
  if (error) return fail(Code::io, "cannot make the socket: " + error.message(), options.socket.string());
  return {};
}

void Server::Parts::begin() {
  const std::size_t workers = options.workers ? options.workers : std::clamp<std::size_t>(std::thread::hardware_concurrency(), 2, 4);
  fast.emplace(workers, 256);
  ingest.emplace(2, 64);
  slow.emplace(4, 32);
  hash.emplace(2, 32);
  room.expires_at(SteadyTime::max());
  if (tcp.is_open()) asio::co_spawn(io, accept(tcp), asio::detached);
  if (local.is_open()) asio::co_spawn(io, accept(local), asio::detached);
  router.accounts().on_end([this] { asio::post(io, [this] { end_streams(true); }); });
  thread = std::jthread([this] { io.run(); });
}

// On the I/O thread: nobody new, idle ones go, streams end; what runs may finish.
void Server::Parts::quit() {
  stopping = true;
  ErrorCode ignored;
  tcp.close(ignored);
  local.close(ignored);
  end_streams(false);
  const std::vector<Connection*> all(connections.begin(), connections.end());
  for (Connection* connection : all)
    if (connection->idle) connection->close();
  room.cancel();
  if (connections.empty() && !std::exchange(drained_said, true)) drained.set_value();
}

void Server::Parts::end_streams(bool look_only) {
  for (const auto& box : streams) {
    if (look_only) box->look_again = true;
    else box->gone = true;
    box->bell.cancel();
  }
}

void Server::Parts::forget(Connection* connection) {
  connections.erase(connection);
  room.cancel();
  if (stopping && connections.empty() && !std::exchange(drained_said, true)) drained.set_value();
}

template <class Acceptor>
asio::awaitable<void> Server::Parts::accept(Acceptor& acceptor) {
  constexpr bool is_local = std::is_same_v<Acceptor, Unix::acceptor>;
  using Stream = beast::basic_stream<typename Acceptor::protocol_type, asio::any_io_executor, beast::unlimited_rate_policy>;
  while (!stopping) {
    if (connections.size() >= options.connections) {  // full: the one that was silent the longest makes room, else somebody must go first
      Connection* oldest = nullptr;
      for (Connection* one : connections)
        if (one->idle && (!oldest || one->since < oldest->since)) oldest = one;
      if (oldest) oldest->close();
      co_await room.async_wait(token);
      continue;
    }
    auto [error, socket] = co_await acceptor.async_accept(token);
    if (stopping) break;
    if (error) {  // no descriptor or memory left: those that end give some back; do not spin
      if (error != asio::error::connection_aborted) {
        if (const auto now = std::chrono::steady_clock::now(); now - complained > seconds(10)) {
          log_warn("http", "cannot take a connection: {}", error.message());
          complained = now;
        }
        asio::steady_timer pause(io, std::chrono::milliseconds(100));
        co_await pause.async_wait(token);
      }
      continue;
    }
    std::string peer;
    ErrorCode ignored;
    if constexpr (is_local) {
      ::ucred who{};
      ::socklen_t size = sizeof who;
      if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || (who.uid != ::geteuid() && who.uid != 0)) continue;
    } else {
      auto from = socket.remote_endpoint(ignored).address();
      if (from.is_v6() && from.to_v6().is_v4_mapped()) from = asio::ip::make_address_v4(asio::ip::v4_mapped, from.to_v6());
      peer = from.to_string();
      socket.set_option(Tcp::no_delay(true), ignored);
    }
    asio::co_spawn(io, serve(Stream(std::move(socket)), std::move(peer), is_local), asio::detached);
  }
}

// ---- one connection

template <class Stream>
asio::awaitable<void> Server::Parts::serve(Stream stream, std::string peer, bool is_local) {
  Connection me;
  me.close = [&stream] {
    ErrorCode ignored;
    stream.socket().close(ignored);
  };
  me.since = std::chrono::steady_clock::now();
  connections.insert(&me);
  beast::flat_buffer buffer;
  bool first = true;
  while (!stopping) {
    if (buffer.size() == 0) {
      me.idle = true;
      me.since = std::chrono::steady_clock::now();
      stream.expires_after(first ? head_time : idle_time);
      auto [error, n] = co_await stream.async_read_some(buffer.prepare(4096), token);
      if (error) break;
      buffer.commit(n);
    }
    me.idle = false;
    first = false;
    if (!co_await exchange(stream, buffer, peer, is_local, me)) break;
  }
  ErrorCode ignored;
  stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  forget(&me);
}

Request plain(const wire::request<wire::string_body>& message, const std::string& peer, bool is_local) {
  Request request;
  request.method = method_named(std::string_view(message.method_string()));
  request.target = std::string(message.target());
  request.peer = peer;
  request.local = is_local;
  for (const auto& field : message) request.headers.push_back({to_lower_ascii(std::string_view(field.name_string())), std::string(field.value())});
  return request;
}

// What the head alone already says is wrong: message framing that two readers would read in two ways, and a missing or doubled Host.
std::string_view misframed(const wire::request_parser<wire::string_body>& parser) {
  const auto& message = parser.get();
  if (message.version() != 11 && message.version() != 10) return "only HTTP/1.0 and 1.1 are spoken here";
  const auto hosts = message.count(wire::field::host);
  if (hosts > 1 || (hosts == 0 && message.version() == 11)) return "one Host header is expected";
  if (message.count(wire::field::transfer_encoding) && (!parser.chunked() || message.count(wire::field::transfer_encoding) > 1))
    return "the only Transfer-Encoding here is chunked";
  const std::string_view length(message[wire::field::content_length]);
  if (message.count(wire::field::content_length) > 1 || length.find_first_not_of("0123456789") != std::string_view::npos)
    return "one Content-Length of digits is expected";
  if (message.count(wire::field::transfer_encoding) && message.count(wire::field::content_length)) return "Content-Length and Transfer-Encoding together";
  return {};
}

// One request and its answer; true when the connection stays.
template <class Stream>
asio::awaitable<bool> Server::Parts::exchange(Stream& stream, beast::flat_buffer& buffer, const std::string& peer, bool is_local, Connection& me) {
  wire::request_parser<wire::string_body> parser;
  parser.header_limit(head_limit);
  parser.body_limit(boost::none);  // the route's own limit, once it is known who asks
  stream.expires_after(head_time);
  auto [error, n] = co_await wire::async_read_header(stream, buffer, parser, token);
  const std::string_view wrong = error ? std::string_view() : misframed(parser);
  if (error || !wrong.empty()) {
    const auto status = error ? status_of(error) : std::optional(std::pair(400, wrong));
    if (!status) co_return false;
    const Response answer = router.refuse(status->first, code_of(status->first), status->second);
    if (co_await write(stream, answer, false, true)) co_await linger(stream);
    co_return false;
  }

  Request request = plain(parser.get(), peer, is_local);
  const bool keep = parser.get().keep_alive();
  const bool has_body = parser.chunked() || parser.content_length().value_or(0) > 0;
  std::optional<Response> answer;
  std::optional<Call> call;
  const std::function<void()> admit = [&] {
    auto admitted = router.admit(request);
    if (auto* no = std::get_if<Response>(&admitted)) answer.emplace(std::move(*no));
    else call.emplace(std::get<Call>(std::move(admitted)));
    // What needs neither a body nor another lane is answered in the same go.
    if (call && !has_body && call->route->lane == Lane::fast) answer.emplace(router.run(*call));
  };
  if (!co_await on_lane(Lane::fast, admit)) answer.emplace(router.refuse(503, "unavailable", "too many requests wait already", 1));

  bool read_all = !has_body;
  if (!answer && has_body) {
    const std::size_t limit = call->route->body;
    const std::uint64_t length = parser.content_length().value_or(0);
    if (length > limit) {
      answer.emplace(router.refuse(413, "too_large", limit ? "the body is larger than this path takes" : "this path takes no body"));
    } else {
      parser.body_limit(limit);
      if (request.header("expect") == "100-continue") {
        constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        co_await asio::async_write(stream, asio::buffer(go_on), token);
      }
      stream.expires_after(body_time + seconds(length / body_bytes_a_second));
      auto [body_error, m] = co_await wire::async_read(stream, buffer, parser, token);
      if (body_error) {
        const auto status = status_of(body_error);
        if (!status) co_return false;
        answer.emplace(router.refuse(status->first, code_of(status->first), status->second));
      } else {
        read_all = true;
        request.body = std::move(parser.get().body());
      }
    }
  }
  if (!answer) {
    const std::function<void()> run = [&] { answer.emplace(router.run(*call)); };
    if (!co_await on_lane(call->route->lane, run)) answer.emplace(router.refuse(503, "unavailable", "too many requests wait already", 2));
  }

  const bool close = !keep || !read_all || stopping;
  if (!co_await write(stream, *answer, request.method == Method::head, close)) co_return false;
  if (const auto* events = std::get_if<EventStream>(&answer->body)) {
    if (request.method != Method::head && !stopping) co_await stream_events(stream, *events);
    co_return false;
  }
  if (!read_all) co_await linger(stream);
  me.since = std::chrono::steady_clock::now();
  co_return !close;
}

asio::awaitable<bool> Server::Parts::on_lane(Lane which, const std::function<void()>& work) {
  asio::steady_timer done(io, SteadyTime::max());
  std::function<void()> job = [this, &work, &done] {
    work();
    asio::post(io, [&done] { done.cancel(); });
  };
  if (!lane(which).offer(std::move(job))) co_return false;
  co_await done.async_wait(token);
  co_return true;
}

template <class Stream>
asio::awaitable<bool> Server::Parts::write(Stream& stream, const Response& response, bool head_only, bool close) {
  const std::string head = head_of(response, close);
  const std::string_view body = head_only || response.status == 204 || response.status == 304 ? std::string_view() : response.bytes();
  const std::string_view now = body.substr(0, write_piece);
  const std::array<asio::const_buffer, 2> buffers{asio::buffer(head), asio::buffer(now)};
  stream.expires_after(write_time);
  auto [error, n] = co_await asio::async_write(stream, buffers, token);
  for (std::size_t at = now.size(); !error && at < body.size(); at += write_piece) {  // a piece at a time: slow is allowed, stuck is not
    stream.expires_after(write_time);
    const std::string_view piece = body.substr(at, write_piece);
    auto [more, m] = co_await asio::async_write(stream, asio::buffer(piece), token);
    error = more;
  }
  co_return !error;
}

// The client may still be sending what we refused: closing at once would reset the connection and lose our answer.
template <class Stream>
asio::awaitable<void> Server::Parts::linger(Stream& stream) {
  ErrorCode ignored;
  stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  std::array<char, 16384> sink;
  stream.expires_after(linger_time);
  for (std::size_t read = 0; read < linger_bytes && !stopping;) {
    auto [error, n] = co_await stream.async_read_some(asio::buffer(sink), token);
    if (error) break;
    read += n;
  }
}

template <class Stream>
asio::awaitable<void> Server::Parts::stream_events(Stream& stream, const EventStream& events) {
  const auto box = std::make_shared<Outbox>(stream.get_executor());
  streams.insert(box);
  stream.expires_never();
  char byte = 0;  // nothing is expected from the client: any byte and any error is its end
  auto on_read = [box](const ErrorCode&, std::size_t) {
    box->gone = true;
    box->bell.cancel();
  };
  stream.socket().async_read_some(asio::buffer(&byte, 1), on_read);
  EventStream::Sink sink = [box](Sealed<std::string> message) { box->put(std::move(message)); };
  std::shared_ptr<void> subscription = events.open(std::move(sink));

  auto next_beat = std::chrono::steady_clock::now();  // the first one at once: the client sees that it is connected
  while (!box->gone && !box->overflow) {
    bool failed = false;
    for (const Sealed<std::string>& message : box->take()) {
      stream.expires_after(write_time);
      auto [error, n] = co_await asio::async_write(stream, asio::buffer(message.open()), token);
      if ((failed = static_cast<bool>(error))) break;
    }
    const auto now = std::chrono::steady_clock::now();
    if (!failed && (now >= next_beat || box->look_again)) {
      box->look_again = false;
      bool alive = false;
      const std::function<void()> ask = [&] { alive = events.alive(); };
      const bool asked = co_await on_lane(Lane::fast, ask);
      if (asked && !alive) break;
      if (now >= next_beat) {
        constexpr std::string_view comment = ":\n\n";
        stream.expires_after(write_time);
        auto [error, n] = co_await asio::async_write(stream, asio::buffer(comment), token);
        failed = static_cast<bool>(error);
        next_beat = now + heartbeat;
      }
    }
    if (failed || box->gone) break;
    stream.expires_never();
    box->bell.expires_at(next_beat);
    bool waiting = false;
    {
      const std::scoped_lock lock(box->mutex);
      waiting = !box->waiting.empty();
    }
    if (!waiting && !box->look_again) co_await box->bell.async_wait(token);
  }
  subscription.reset();
  streams.erase(box);
  ErrorCode ignored;
  stream.socket().close(ignored);  // ends the pending read at once: nothing writes to `byte` after this
}

// ---- from outside

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() { stop(); }  // NOLINT(bugprone-exception-escape): Asio throws for our own mistakes only

Result<std::unique_ptr<Server>> Server::start(const Router& router, ServerOptions options) {
  auto parts = std::make_unique<Parts>(router, std::move(options));
  TRY(parts->listen_tcp());
  TRY(parts->listen_local());
  parts->begin();
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

std::string Server::address() const { return parts_->address; }

void Server::stop() {
  if (!parts_ || std::exchange(parts_->stopped, true)) return;
  Parts& parts = *parts_;
  parts.router.accounts().on_end({});
  asio::post(parts.io, [&parts] { parts.quit(); });
  const std::future<void> drained = parts.drained.get_future();
  if (drained.wait_for(drain_time) != std::future_status::ready) {
    parts.router.engine().stop();  // what still runs waits for a network: it ends, and says so
    drained.wait_for(seconds(1));
    asio::post(parts.io, [&parts] {
      const std::vector<Connection*> all(parts.connections.begin(), parts.connections.end());
      for (Connection* connection : all) connection->close();
    });
  }
  parts.fast.reset();  // finishes what runs; answers to closed connections go nowhere
  parts.ingest.reset();
  parts.slow.reset();
  parts.hash.reset();
  parts.io.stop();
  parts.thread.join();
  if (!parts.options.socket.empty()) ::unlink(parts.options.socket.c_str());
}

}  // namespace weir::http
