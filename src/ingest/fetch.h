// Getting bytes from outside over http and https: the port Fetcher, its libcurl implementation, and a twin that fails on purpose.
//
// CurlFetcher makes no thread: run() is the loop, on a thread of its caller's. fetch() may be called from any thread, before and during run(); it only
// queues. `done` is called exactly once for every fetch, on the thread in run() (or, after run() has ended, on the caller's, with `unavailable`); it must
// be quick (hand over to a queue) and must not throw; it may call fetch().
//
// Every hop of every fetch goes through the Dialer. Credentials in a URL become an Authorization header for that origin alone; they are in no error, no
// log and not in FetchReply::url.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "ingest/dialer.h"

namespace weir {

enum class FetchPurpose { feed, page, icon, media };  // decides the Accept header
enum class FetchUrgency {
  poll,         // waits for its host's turn
  interactive,  // a person waits: ahead of polls and without the delay between them, never beyond the host's connections
};

struct FetchRequest {
  std::string url;                  // http or https; may carry credentials
  std::string etag, last_modified;  // of the last good reply, opaque, sent back byte for byte; empty: not sent
  FetchPurpose purpose = FetchPurpose::feed;
  FetchUrgency urgency = FetchUrgency::poll;
  std::size_t limit = 10u << 20;                 // bytes of body after decompression
  Duration deadline = std::chrono::seconds(30);  // for all hops together; waiting for the host's turn counts only when interactive
};

// What a server answered, whatever it answered: 404 and 503 are replies, not errors.
struct FetchReply {
  int status = 0;                       // 200, 304, 404, 410, 429, 503, …
  std::string url;                      // where it came from in the end, without credentials and fragment
  std::optional<std::string> moved_to;  // the new address to keep, when there were hops and each one was permanent (301, 308); like every source's
                                        // address it may carry credentials
  std::string content_type;             // the header as it came
  std::string body;                     // decompressed; only of 2xx
  std::string etag, last_modified;      // opaque, quotes and W/ included; empty when absent
  std::optional<Duration> max_age;      // Cache-Control; no-store, no-cache and absence are nothing
  std::optional<Duration> retry_after;  // seconds or HTTP-date, relative to now, never negative
  std::int32_t hops = 0;
  std::uint64_t wire_bytes = 0;  // received, headers included, all hops
  Duration waited{}, took{};     // in the queue; from the first connection to the last byte
};

class Fetcher {
 public:
  using Done = std::function<void(Result<FetchReply>)>;
  virtual ~Fetcher() = default;
  // Errors: invalid (no such URL), refused (address, port or scheme that is not allowed), timeout (which), io (name, connection, TLS, reset, cut off),
  // malformed (not HTTP, headers, encoding, a redirect that leads nowhere or round in circles), too_large (bytes or ratio), unavailable (stopping, full).
  virtual void fetch(FetchRequest request, Done done) = 0;
};

struct FetchOptions {
  std::string user_agent = "Weir/0.1.0 (+feed reader)";
  std::size_t in_flight = 256;                           // connections at once
  std::size_t waiting = 100'000;                         // requests queued; more are refused as unavailable
  unsigned per_host = 2;                                 // connections to a host name at once, and to an address
  Duration host_delay = std::chrono::milliseconds(200);  // between the starts of two polls of one host, up to half as much again at random
  unsigned redirects = 5;
  std::size_t header_bytes = 64u << 10;
  Duration connect = std::chrono::seconds(10), first_byte = std::chrono::seconds(15);
  std::uint32_t slowest = 1000;  // bytes a second on average, held against a reply from `slow_from` after its first byte
  Duration slow_from = std::chrono::seconds(10);
  std::size_t bodies = 256u << 20;  // bytes held by unfinished replies together; at a quarter nothing new starts, at the whole one fails
  std::string ca_file;              // certificates to trust instead of the system's; for tests
};

struct FetchCounters {  // since the start
  std::uint64_t started = 0, replies = 0, errors = 0, refused = 0, hops = 0, wire_bytes = 0;
  std::uint64_t waiting = 0, in_flight = 0;  // now
};

class CurlFetcher final : public Fetcher {
 public:
  // Errors: io (no descriptor left), internal.
  static Result<std::unique_ptr<CurlFetcher>> open(Dialer dialer, FetchOptions options = {});
  ~CurlFetcher() override;  // only when run() is not running

  void fetch(FetchRequest request, Done done) override;
  // Fetches until stop is requested, then ends within a second; what is unfinished gets `unavailable`. Called once.
  void run(std::stop_token stop);
  FetchCounters counters() const;

 private:
  struct State;
  explicit CurlFetcher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Fails the n-th call and passes the others on: run a scenario with n = 1, 2, … until calls() < n. Any thread.
class FaultFetcher final : public Fetcher {
 public:
  enum class Fault {
    error,      // io: nothing went out
    lost,       // the inner fetch happens, its answer does not arrive: timeout
    cut_short,  // the inner answer's body ends in the middle
  };
  FaultFetcher(Fetcher& inner, std::uint64_t n, Fault fault = Fault::error);
  ~FaultFetcher() override;
  void fetch(FetchRequest request, Done done) override;
  std::uint64_t calls() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir
