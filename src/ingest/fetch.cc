#include "ingest/fetch.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/url.h"
#include "ingest/headers.h"

namespace weir {

namespace {

using Steady = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kErrorBody = 64u << 10;   // read of a reply that is no 2xx, so that its connection can serve again; more than that closes it
constexpr std::uint64_t kRatioFrom = 1u << 20;  // bytes after decompression from which the ratio is held against a reply
constexpr std::uint64_t kRatio = 100;
constexpr std::uint64_t kReadBuffer = 16u << 10;  // libcurl's; it counts the bytes of a chunked read after it has handed them on
constexpr auto kTick = milliseconds(250);         // how late a limit on time may be noticed
constexpr auto kNowhere = milliseconds(500);      // well above the 200 ms that libcurl waits before it tries the other family
constexpr auto kDescriptorPause = seconds(1);
constexpr std::size_t kSpareHandles = 32;

Duration since(Steady from, Steady to) { return std::chrono::duration_cast<Duration>(to - from); }

const char* accept_header(FetchPurpose purpose) {
  switch (purpose) {
    case FetchPurpose::feed:
      return "Accept: application/atom+xml, application/rss+xml, application/feed+json, application/rdf+xml;q=0.9, application/xml;q=0.8, text/xml;q=0.8, "
             "application/json;q=0.7, text/html;q=0.6, */*;q=0.5";
    case FetchPurpose::page: return "Accept: text/html, application/xhtml+xml, */*;q=0.5";
    case FetchPurpose::icon:
    case FetchPurpose::media: break;
  }
  return "Accept: image/avif, image/webp, image/png, image/jpeg, image/gif, image/x-icon, */*;q=0.1";
}

std::string percent_decoded(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool same_origin(const Url& a, const Url& b) { return a.scheme == b.scheme && a.host == b.host && port_of(a) == port_of(b); }

// What goes on the wire and what FetchReply::url shows.
std::string bare(Url url) {
  url.username.clear();
  url.password.clear();
  url.fragment.clear();
  return to_string(url);
}

bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

// A value from a reply goes into a later request: it must not be able to start a header line of its own.
bool fits_a_header(std::string_view value) {
  return !value.empty() && value.size() <= 8192 && value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

bool known_coding(std::string_view coding) {
  constexpr std::array<std::string_view, 7> known = {"", "identity", "gzip", "x-gzip", "deflate", "br", "zstd"};
  return std::ranges::find(known, coding) != known.end();
}

// Is every file descriptor of this process in use? What fails then is our doing, not the source's.
bool descriptors_are_out(int any) {
  const int copy = ::fcntl(any, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return true;
  ::close(copy);
  return false;
}

std::string seconds_text(Duration duration) { return fmt::format("{:g} s", std::chrono::duration<double>(duration).count()); }

}  // namespace

// Everything below `inbox` belongs to the thread in run().
//
// A job waits at its host; a host waits for its turn in `turns`, or in the line of its address when that has its connections already. A turn is taken when
// the time has come and there is room; then one job of the host starts, and the host asks for its next turn.
struct CurlFetcher::State {
  struct Host;

  struct Hop {  // what one request of a job gathers
    CURL* easy = nullptr;
    Steady started{};
    ReplyHeaders headers;
    bool headers_done = false;
    std::size_t header_bytes = 0, ignored = 0;
    bool enough = false;  // the rest of an error's body was cut off by us
    Dialer::Refusal refusal = Dialer::Refusal::none;
    bool dialled = false;        // a socket was opened
    Steady turned_away{};        // when the last address was not to be dialled
    bool busy = false;           // its address had its connections already
    std::optional<Error> error;  // ours, beside which libcurl's code says nothing
    std::vector<NetAddress> addresses;
    curl_slist* lines = nullptr;
  };

  struct Job {
    State* state = nullptr;
    FetchRequest request;
    Done done;
    Url origin, target;  // of the request, of this hop
    Host* host = nullptr;
    Steady queued{}, deadline{};
    std::optional<Steady> started;
    Duration spent{};        // on the wire, by the hops before this one
    bool permanent = true;   // every hop so far was 301 or 308
    bool undecoded = false;  // asked again without decoding, because nobody knows the coding's name
    bool plain = false;      // asked again for the body uncompressed, because bytes stood behind the end of what was compressed
    FetchReply reply;
    Hop hop;

    bool urgent() const { return request.urgency == FetchUrgency::interactive; }
  };
  using JobPtr = std::unique_ptr<Job>;

  struct Host {
    std::string name;
    std::deque<JobPtr> first, later;  // people's and those that continue after a redirect; polls
    unsigned active = 0;
    Steady next_poll{};
    std::optional<NetAddress> address;  // where it was last
    std::optional<Steady> turn;         // its place in `turns`
    bool in_line = false;
  };

  struct Line {  // at one address, whatever the names
    unsigned active = 0;
    std::deque<Host*> hosts;
  };

  Dialer dialer;
  FetchOptions options;
  CURLM* multi = nullptr;
  int epoll = -1, wake = -1;
  struct {
    std::atomic<std::uint64_t> started{0}, replies{0}, errors{0}, refused{0}, hops{0}, wire_bytes{0}, waiting{0}, in_flight{0};
  } count;

  std::mutex mutex;
  std::vector<JobPtr> inbox;
  bool closed = false;

  std::unordered_map<std::string, Host> hosts;
  std::map<NetAddress, Line> lines;
  std::set<std::pair<Steady, Host*>> turns;
  std::unordered_map<CURL*, JobPtr> active;
  std::vector<CURL*> spare;
  std::size_t urgent_waiting = 0, bodies = 0;
  std::optional<Steady> curl_timer;
  Steady next_tick{}, paused_until{};
  std::minstd_rand random{std::random_device{}()};

  ~State() {
    for (auto& [easy, job] : active) {
      curl_multi_remove_handle(multi, easy);
      curl_slist_free_all(job->hop.lines);
      curl_easy_cleanup(easy);
    }
    for (CURL* easy : spare) curl_easy_cleanup(easy);
    if (multi != nullptr) curl_multi_cleanup(multi);
    if (epoll >= 0) ::close(epoll);
    if (wake >= 0) ::close(wake);
  }

  void ring() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake, &one, sizeof one);  // full is as good as written
  }

  // ---- waiting

  void queue(JobPtr job, bool ahead) {
    Host& host = hosts[job->target.host];
    if (host.name.empty()) host.name = job->target.host;
    job->host = &host;
    ++count.waiting;
    if (job->urgent()) ++urgent_waiting;
    if (ahead) host.first.push_front(std::move(job));
    else (job->urgent() ? host.first : host.later).push_back(std::move(job));
    give_turn(host);
  }

  void give_turn(Host& host) {
    if (host.in_line) return;
    if (host.turn) turns.erase({*host.turn, &host});
    host.turn.reset();
    if (host.active >= options.per_host) return;
    if (host.first.empty() && host.later.empty() && host.active > 0) return;
    host.turn = host.first.empty() ? host.next_poll : Steady::min();  // one with nothing to do gets a turn too: there it is forgotten
    turns.emplace(*host.turn, &host);
  }

  bool has_room(bool ahead, Steady now) const {
    if (now < paused_until) return false;
    return ahead ? active.size() < options.in_flight
                 : active.size() < options.in_flight - options.in_flight / 16 && bodies < options.bodies / 4;  // a few are kept for people
  }

  void take_turns(Steady now) {
    while (!turns.empty() && turns.begin()->first <= now) {
      Host& host = *turns.begin()->second;
      const bool ahead = !host.first.empty(), idle = !ahead && host.later.empty();
      if (!idle && !has_room(ahead, now)) return;
      turns.erase(turns.begin());
      host.turn.reset();
      if (idle) {
        hosts.erase(std::string(host.name));
        continue;
      }
      if (host.address) {
        Line& line = lines[*host.address];
        if (line.active >= options.per_host) {
          host.in_line = true;
          if (ahead) line.hosts.push_front(&host);
          else line.hosts.push_back(&host);
          continue;
        }
      }
      std::deque<JobPtr>& from = ahead ? host.first : host.later;
      JobPtr job = std::move(from.front());
      from.pop_front();
      --count.waiting;
      if (job->urgent()) --urgent_waiting;
      if (!ahead) host.next_poll = now + std::chrono::duration_cast<Duration>(options.host_delay * std::uniform_real_distribution<>(1.0, 1.5)(random));
      ++host.active;
      start(std::move(job), now);
      give_turn(host);
    }
  }

  // Takes a connection to that address for the job; false when it has its number already.
  bool hold_address(Job& job, const NetAddress& address) {
    if (std::ranges::find(job.hop.addresses, address) != job.hop.addresses.end()) return true;
    Line& line = lines[address];
    if (line.active >= options.per_host) return false;
    ++line.active;
    job.hop.addresses.push_back(address);
    return true;
  }

  // Is there a next request for this connection? One that stays open for nobody would take up a place at its server, and one at its address here: other
  // names that wait in line for the address come first.
  bool somebody_will_use(const Job& job) const {
    for (const NetAddress& address : job.hop.addresses)
      if (const auto line = lines.find(address); line != lines.end() && !line->second.hosts.empty()) return false;
    return is_redirect(job.hop.headers.status) || !job.host->first.empty() || !job.host->later.empty();
  }

  void release(Job& job) {
    for (const NetAddress& address : job.hop.addresses) {
      const auto at = lines.find(address);
      Line& line = at->second;
      --line.active;
      for (unsigned free = options.per_host - line.active; free > 0 && !line.hosts.empty(); --free) {
        Host& next = *line.hosts.front();
        line.hosts.pop_front();
        next.in_line = false;
        give_turn(next);
      }
      if (line.active == 0 && line.hosts.empty()) lines.erase(at);
    }
    job.hop.addresses.clear();
    --job.host->active;
    give_turn(*job.host);
  }

  // ---- one request

  void start(JobPtr job, Steady now) {
    Job& j = *job;
    j.hop = {.started = now};
    if (!j.started) {
      j.started = now;
      j.reply.waited = since(j.queued, now);
      ++count.started;
    }
    if (!j.urgent()) j.deadline = now + (j.request.deadline - j.spent);
    if (j.host->address) hold_address(j, *j.host->address);

    CURL* easy = nullptr;
    if (spare.empty()) easy = curl_easy_init();
    else easy = spare.back(), spare.pop_back();
    if (easy == nullptr) {
      release(j);
      return end(std::move(job), fail(Code::unavailable, say("no_memory_connection", "no memory for one more connection")));
    }
    j.hop.easy = easy;
    configure(easy, j, now);
    active.emplace(easy, std::move(job));
    count.in_flight = active.size();
    ++count.hops;
    CHECK(curl_multi_add_handle(multi, easy) == CURLM_OK);
  }

  void configure(CURL* easy, Job& job, Steady now) {
    const auto set = [easy](CURLoption option, auto value) { CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK); };
    const auto line = [&job](const std::string& text) { job.hop.lines = curl_slist_append(job.hop.lines, text.c_str()); };
    line(accept_header(job.request.purpose));
    if (fits_a_header(job.request.etag)) line("If-None-Match: " + job.request.etag);
    if (fits_a_header(job.request.last_modified)) line("If-Modified-Since: " + job.request.last_modified);

    set(CURLOPT_URL, bare(job.target).c_str());
    set(CURLOPT_PRIVATE, &job);
    set(CURLOPT_OPENSOCKETFUNCTION, &State::on_open);
    set(CURLOPT_OPENSOCKETDATA, &job);
    set(CURLOPT_HEADERFUNCTION, &State::on_header);
    set(CURLOPT_HEADERDATA, &job);
    set(CURLOPT_WRITEFUNCTION, &State::on_body);
    set(CURLOPT_WRITEDATA, &job);
    set(CURLOPT_HTTPHEADER, job.hop.lines);
    set(CURLOPT_USERAGENT, options.user_agent.c_str());
    if (job.undecoded) set(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    else set(CURLOPT_ACCEPT_ENCODING, job.plain ? "identity" : "gzip, br, zstd, deflate");
    if (same_origin(job.target, job.origin) && !(job.origin.username.empty() && job.origin.password.empty())) {
      set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
      set(CURLOPT_USERNAME, percent_decoded(job.origin.username).c_str());
      set(CURLOPT_PASSWORD, percent_decoded(job.origin.password).c_str());
    }
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);  // every hop is a request of its own, through the same gates
    set(CURLOPT_PROXY, "");           // not even from the environment: a proxy would dial for us
    set(CURLOPT_PATH_AS_IS, 1L);      // parse_url has done it
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // never wait for a resolver's thread: a name server that hangs would hold up everybody
    set(CURLOPT_DNS_CACHE_TIMEOUT, 300L);
    set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(job.request.limit));
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::chrono::ceil<milliseconds>(options.connect).count()));
    const auto left = std::chrono::ceil<milliseconds>(job.deadline - now).count() + 1000;  // on_tick is first; this is the second net
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(left, 1)));
    if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
  }

  static curl_socket_t on_open(void* self, curlsocktype purpose, curl_sockaddr* address) {
    Job& job = *static_cast<Job*>(self);
    if (purpose != CURLSOCKTYPE_IPCXN) return CURL_SOCKET_BAD;
    Dialer::Refusal why{};
    const int fd = job.state->dialer.open(address->addr, address->socktype, address->protocol, why);
    if (fd < 0) {
      job.hop.refusal = why;
      job.hop.turned_away = std::chrono::steady_clock::now();
      return CURL_SOCKET_BAD;
    }
    const NetAddress ip = *NetAddress::from(address->addr);
    if (!job.state->hold_address(job, ip)) {
      ::close(fd);
      job.hop.busy = true;
      job.hop.turned_away = std::chrono::steady_clock::now();
      job.host->address = ip;
      return CURL_SOCKET_BAD;
    }
    job.hop.dialled = true;
    return fd;
  }

  static std::size_t on_header(char* data, std::size_t size, std::size_t n, void* self) {
    Job& job = *static_cast<Job*>(self);
    Hop& hop = job.hop;
    const std::string_view line(data, size * n);
    hop.header_bytes += line.size();
    if (hop.header_bytes > job.state->options.header_bytes) {
      hop.error = failure(Code::too_large, say("headers_too_large", "the headers are larger than {limit} bytes", {{"limit", job.state->options.header_bytes}}));
      return 0;
    }
    if (hop.headers_done) return line.size();  // a trailer: what counts came before the body
    if (line != "\r\n" && line != "\n") {
      hop.headers.add(line);
      return line.size();
    }
    hop.headers_done = hop.headers.status >= 200;
    if (hop.headers.encoding.find(',') != std::string::npos) {
      hop.error = failure(Code::malformed, say("compressed_twice", "the body is compressed more than once"));
      return 0;
    }
    curl_easy_setopt(hop.easy, CURLOPT_FORBID_REUSE, job.state->somebody_will_use(job) ? 0L : 1L);
    return line.size();
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t n, void* self) {
    Job& job = *static_cast<Job*>(self);
    const std::size_t bytes = size * n;
    if (job.hop.headers.status < 200 || job.hop.headers.status > 299) {
      job.hop.ignored += bytes;
      job.hop.enough = job.hop.ignored > kErrorBody;
      return job.hop.enough ? 0 : bytes;
    }
    State& state = *job.state;
    std::string& body = job.reply.body;
    const std::size_t full = body.size() + bytes;
    const auto refuse = [&](Code code, Sentence what) {
      job.hop.error = failure(code, std::move(what));
      return std::size_t{0};
    };
    if (full > job.request.limit)
      return refuse(Code::too_large, say("body_too_large", "the body is larger than {limit} bytes", {{"limit", job.request.limit}}));
    if (full > kRatioFrom && full / kRatio > wire_body(job) + kReadBuffer)
      return refuse(Code::too_large, say("body_bomb", "the body grows more than {ratio}-fold when decompressed", {{"ratio", kRatio}}));
    if (state.bodies + bytes > state.options.bodies) return refuse(Code::unavailable, say("fetches_full", "too many bytes are under way at once"));
    state.bodies += bytes;
    body.append(data, bytes);
    return bytes;
  }

  static std::uint64_t wire_body(const Job& job) {
    curl_off_t bytes = 0;
    curl_easy_getinfo(job.hop.easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    return static_cast<std::uint64_t>(bytes);
  }

  // ---- its end

  // Takes the job's request off the wire, finished or not; what it gathered stays in job.hop.
  JobPtr take(CURL* easy, Steady now) {
    JobPtr job = std::move(active.extract(easy).mapped());
    count.in_flight = active.size();
    const std::uint64_t bytes = wire_body(*job) + job->hop.header_bytes;
    job->reply.wire_bytes += bytes;
    count.wire_bytes += bytes;
    job->spent += since(job->hop.started, now);
    char* primary = nullptr;
    if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &primary) == CURLE_OK && primary != nullptr)
      if (const auto address = NetAddress::parse(primary)) job->host->address = address;
    curl_multi_remove_handle(multi, easy);
    curl_slist_free_all(std::exchange(job->hop.lines, nullptr));
    job->hop.easy = nullptr;
    if (spare.size() < kSpareHandles) {
      curl_easy_reset(easy);
      spare.push_back(easy);
    } else {
      curl_easy_cleanup(easy);
    }
    release(*job);
    return job;
  }

  void end(JobPtr job, Result<FetchReply> result) {
    bodies -= std::min(bodies, job->reply.body.size());
    if (result) {
      ++count.replies;
    } else {
      ++count.errors;
      if (result.error().code == Code::refused) ++count.refused;
      if (result.error().where.empty()) result.error().where = without_credentials(bare(job->target));
    }
    const Done done = std::move(job->done);
    job.reset();
    done(std::move(result));
  }

  void end_with_error(JobPtr job, Error error) { end(std::move(job), std::unexpected(std::move(error))); }

  void again(JobPtr job) {  // the same hop, once there is room for it
    bodies -= std::min(bodies, job->reply.body.size());
    job->reply.body.clear();
    queue(std::move(job), true);
  }

  void on_finished(CURL* easy, CURLcode code, Steady now) {
    JobPtr job = take(easy, now);
    const Hop& hop = job->hop;
    if (code == CURLE_OK || hop.enough) return on_reply(std::move(job), now);
    if (hop.error) return end_with_error(std::move(job), *hop.error);
    if (code == CURLE_COULDNT_CONNECT && hop.busy && !hop.dialled) return again(std::move(job));
    const bool not_connected = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT;
    if (not_connected && (hop.refusal == Dialer::Refusal::descriptors || descriptors_are_out(wake))) {
      paused_until = now + kDescriptorPause;
      return again(std::move(job));
    }
    if (code == CURLE_BAD_CONTENT_ENCODING && !job->undecoded && !known_coding(hop.headers.encoding)) {
      job->undecoded = true;  // "Content-Encoding: utf-8" and the like: the bytes are as they are
      return again(std::move(job));
    }
    // libcurl reads to the end of the first compressed stream. What stands behind it may be another piece of the body, or nothing that matters.
    if (code == CURLE_WRITE_ERROR && hop.headers_done && !job->undecoded && !job->plain) {
      job->plain = true;
      return again(std::move(job));
    }
    if (code == CURLE_WRITE_ERROR && job->plain && !job->reply.body.empty()) return on_reply(std::move(job), now);
    end_with_error(std::move(job), explain(code, hop));
  }

  Error explain(CURLcode code, const Hop& hop) const {
    switch (code) {
      case CURLE_COULDNT_CONNECT:
        if (!hop.dialled && hop.refusal == Dialer::Refusal::address)
          return failure(Code::refused, say("address_private", "the address is not on the public internet"), {},
                         "whoever runs this server can open a private range with --allow-net CIDR");
        if (!hop.dialled && hop.refusal == Dialer::Refusal::port)
          return failure(Code::refused, say("port_refused", "the port belongs to a service that is no web server"), {},
                         "give the address of a feed or of a page");
        if (!hop.dialled && hop.refusal == Dialer::Refusal::family)
          return failure(Code::refused, say("address_family", "the address is not an internet address"), {}, "give the address of a feed or of a page");
        return failure(Code::io, say("no_connection", "no connection"), {}, "is the server up, and the port right?");
      case CURLE_COULDNT_RESOLVE_HOST:
        return failure(Code::io, say("no_such_host", "no such host name"), {}, "check the spelling; if it is right, check this machine's DNS");
      case CURLE_OPERATION_TIMEDOUT: {
        constexpr const char* later = "try again later; if it stays so, open the address in a browser";
        if (hop.headers.status != 0) return failure(Code::timeout, say("reply_unfinished", "the reply did not end in time"), {}, later);
        return failure(Code::timeout, say("connect_timeout", "no connection within {time}", {{"time", seconds_text(options.connect)}}), {}, later);
      }
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
        return failure(Code::io, say("certificate", "the server's certificate cannot be trusted"), {},
                       "if that holds for every server, install ca-certificates and check the clock");
      case CURLE_SSL_CONNECT_ERROR:
        return failure(Code::io, say("no_tls", "no TLS connection"), {}, "try http:// instead of https://, or ask whoever runs the server");
      case CURLE_PARTIAL_FILE: return failure(Code::io, say("reply_cut_off", "the reply was cut off"), {}, "try again later");
      case CURLE_GOT_NOTHING: return failure(Code::io, say("no_reply", "the server closed the connection without a reply"), {}, "try again later");
      case CURLE_FILESIZE_EXCEEDED: return failure(Code::too_large, say("body_too_large_said", "the body is larger than allowed"));
      case CURLE_BAD_CONTENT_ENCODING: return failure(Code::malformed, say("body_not_compressed", "the body is not compressed as it says"));
      case CURLE_URL_MALFORMAT:
      case CURLE_UNSUPPORTED_PROTOCOL:
        return failure(Code::malformed, say("not_http_address", "not an http address, or not an http server"), {}, "check the address");
      case CURLE_WEIRD_SERVER_REPLY: return failure(Code::malformed, say("not_http", "the reply is not HTTP"), {}, "check the port in the address");
      case CURLE_OUT_OF_MEMORY:
        if (hop.dialled) return failure(Code::too_large, say("header_line_too_long", "a header line is longer than 100 kB"));  // that is how libcurl says it
        return failure(Code::unavailable, say("no_memory_connection", "no memory for one more connection"));
      default: return failure(Code::io, say("connection_failed", "the connection failed ({reason})", {{"reason", curl_easy_strerror(code)}}));
    }
  }

  void on_reply(JobPtr job, Steady now) {
    const ReplyHeaders& headers = job->hop.headers;
    if (headers.status < 200 || headers.status > 999)
      return end_with_error(std::move(job), failure(Code::malformed, say("not_http", "the reply is not HTTP"), {}, "check the port in the address"));
    if (is_redirect(headers.status)) return follow(std::move(job));
    FetchReply reply = std::move(job->reply);
    job->reply = {};
    bodies -= std::min(bodies, reply.body.size());
    const bool good = (headers.status >= 200 && headers.status <= 299) || headers.status == 304;
    reply.status = headers.status;
    reply.url = bare(job->target);
    if (reply.hops > 0 && job->permanent && good) {
      Url moved = job->target;
      moved.fragment.clear();
      if (same_origin(moved, job->origin)) moved.username = job->origin.username, moved.password = job->origin.password;
      reply.moved_to = to_string(moved);
    }
    reply.content_type = headers.content_type;
    reply.etag = headers.etag;
    reply.last_modified = headers.last_modified;
    reply.max_age = parse_max_age(headers.cache_control);
    reply.retry_after = parse_retry_after(headers.retry_after, headers.date, SystemClock().now());
    reply.took = since(*job->started, now);
    end(std::move(job), std::move(reply));
  }

  void follow(JobPtr job) {
    const ReplyHeaders& headers = job->hop.headers;
    if (headers.location.empty()) return end_with_error(std::move(job), failure(Code::malformed, say("redirect_nowhere", "a redirect that says not where to")));
    Result<Url> next = parse_url(headers.location, bare(job->target));
    if (!next) return end_with_error(std::move(job), failure(Code::malformed, say("redirect_no_address", "a redirect to something that is no address")));
    if (next->scheme != "http" && next->scheme != "https")
      return end_with_error(std::move(job), failure(Code::refused, say("redirect_not_http", "a redirect to something other than http")));
    if (static_cast<unsigned>(job->reply.hops) >= options.redirects)
      return end_with_error(std::move(job), failure(Code::malformed, say("redirects_too_many", "more than {limit} redirects", {{"limit", options.redirects}})));
    ++job->reply.hops;
    job->permanent = job->permanent && (headers.status == 301 || headers.status == 308);
    next->username.clear();  // a server does not hand out credentials
    next->password.clear();
    next->fragment.clear();
    job->target = std::move(*next);
    queue(std::move(job), true);
  }

  // ---- the loop

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void* known) {
    State& state = *static_cast<State*>(self);
    if (what == CURL_POLL_REMOVE) {
      epoll_ctl(state.epoll, EPOLL_CTL_DEL, fd, nullptr);
      return 0;
    }
    epoll_event event{};
    event.data.fd = fd;
    event.events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
    epoll_ctl(state.epoll, known != nullptr ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    curl_multi_assign(state.multi, fd, self);
    return 0;
  }

  static int on_timer(CURLM*, long ms, void* self) {
    State& state = *static_cast<State*>(self);
    if (ms < 0) state.curl_timer.reset();
    else state.curl_timer = std::chrono::steady_clock::now() + milliseconds(ms);
    return 0;
  }

  void take_inbox() {
    std::vector<JobPtr> jobs;
    {
      const std::scoped_lock lock(mutex);
      jobs.swap(inbox);
    }
    count.waiting -= jobs.size();
    for (JobPtr& job : jobs) queue(std::move(job), false);
  }

  void take_finished(Steady now) {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left))
      if (message->msg == CURLMSG_DONE) on_finished(message->easy_handle, message->data.result, now);
  }

  std::optional<Sentence> late(const Job& job, Steady now) const {
    if (now >= job.deadline) return say("not_done_within", "not done within {time}", {{"time", seconds_text(job.request.deadline)}});
    const auto micros = [&](CURLINFO info) {
      curl_off_t value = 0;
      curl_easy_getinfo(job.hop.easy, info, &value);
      return Duration(value);
    };
    const Duration asked = micros(CURLINFO_PRETRANSFER_TIME_T), answered = micros(CURLINFO_STARTTRANSFER_TIME_T);
    const Duration age = since(job.hop.started, now);
    if (asked.count() == 0) return std::nullopt;  // not connected yet: CURLOPT_CONNECTTIMEOUT_MS
    if (answered.count() == 0)
      return age - asked > options.first_byte ? std::optional(say("no_answer_within", "no answer within {time}", {{"time", seconds_text(options.first_byte)}}))
                                              : std::nullopt;
    const double flowing = std::chrono::duration<double>(age - answered).count();
    const bool slow = age - answered > options.slow_from && static_cast<double>(wire_body(job) + job.hop.header_bytes) < options.slowest * flowing;
    return slow ? std::optional(say("too_slow", "slower than {limit} bytes a second", {{"limit", options.slowest}})) : std::nullopt;
  }

  // Of a name with addresses of both families none was dialled: libcurl would sit out half of the time it has to connect.
  static bool nowhere_to_go(const Job& job, Steady now) { return !job.hop.dialled && job.hop.turned_away != Steady{} && now - job.hop.turned_away > kNowhere; }

  void tick(Steady now) {
    if (now < next_tick) return;
    next_tick = now + kTick;
    std::vector<CURL*> nowhere;
    for (const auto& [easy, job] : active)
      if (nowhere_to_go(*job, now)) nowhere.push_back(easy);
    for (CURL* easy : nowhere) on_finished(easy, CURLE_COULDNT_CONNECT, now);
    std::vector<std::pair<CURL*, Sentence>> overdue;
    for (const auto& [easy, job] : active)
      if (auto why = late(*job, now)) overdue.emplace_back(easy, std::move(*why));
    for (auto& [easy, why] : overdue) end_with_error(take(easy, now), failure(Code::timeout, std::move(why)));
    if (urgent_waiting == 0) return;
    std::vector<JobPtr> impatient;
    for (auto& [name, host] : hosts) {
      for (JobPtr& job : host.first)
        if (job->urgent() && now >= job->deadline) impatient.push_back(std::move(job));
      std::erase(host.first, nullptr);
    }
    for (JobPtr& job : impatient) {
      --urgent_waiting;
      --count.waiting;
      Sentence why = say("host_busy", "not done within {time}: the host has its connections already", {{"time", seconds_text(job->request.deadline)}});
      end_with_error(std::move(job), failure(Code::timeout, std::move(why)));
    }
  }

  int wait_ms(Steady now) const {
    std::optional<Steady> until = curl_timer;
    const auto sooner = [&](Steady at) {
      if (!until || at < *until) until = at;
    };
    if (!active.empty() || urgent_waiting > 0) sooner(next_tick);
    if (!turns.empty()) {
      if (has_room(turns.begin()->first == Steady::min(), now)) sooner(turns.begin()->first);
      else if (now < paused_until) sooner(paused_until);  // else the end of an active one makes room
    }
    if (!until) return -1;
    if (*until <= now) return 0;
    return static_cast<int>(std::min<std::int64_t>(std::chrono::ceil<milliseconds>(*until - now).count(), 60'000));
  }

  void turn_once() {
    take_inbox();
    const Steady start_time = std::chrono::steady_clock::now();
    take_turns(start_time);
    std::array<epoll_event, 128> events;
    const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), wait_ms(start_time));
    int running = 0;
    for (int i = 0; i < n; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd == wake) {
        std::uint64_t rings = 0;
        [[maybe_unused]] const ssize_t got = ::read(wake, &rings, sizeof rings);
        continue;
      }
      const int what = ((event.events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) | ((event.events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                       ((event.events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
      curl_multi_socket_action(multi, event.data.fd, what, &running);
    }
    const Steady now = std::chrono::steady_clock::now();
    if (curl_timer && *curl_timer <= now) {
      curl_timer.reset();
      curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    take_finished(now);
    tick(now);
  }

  void stop_all() {
    std::vector<JobPtr> left;
    {
      const std::scoped_lock lock(mutex);
      closed = true;
      left.swap(inbox);
    }
    const Steady now = std::chrono::steady_clock::now();
    while (!active.empty()) left.push_back(take(active.begin()->first, now));
    for (auto& [name, host] : hosts)
      for (auto* from : {&host.first, &host.later})
        for (JobPtr& job : *from) left.push_back(std::move(job));
    hosts.clear();
    turns.clear();
    lines.clear();
    urgent_waiting = 0;
    count.waiting = 0;
    for (JobPtr& job : left) end_with_error(std::move(job), failure(Code::unavailable, say("fetcher_stopping", "the fetcher is stopping")));
  }
};

CurlFetcher::CurlFetcher(std::unique_ptr<State> state) : state_(std::move(state)) {}

CurlFetcher::~CurlFetcher() {
  if (state_) state_->stop_all();
}

Result<std::unique_ptr<CurlFetcher>> CurlFetcher::open(Dialer dialer, FetchOptions options) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (global != CURLE_OK) return fail(Code::internal, "libcurl does not start");
  CHECK(options.in_flight > 0 && options.per_host > 0);
  auto state = std::make_unique<State>();
  state->dialer = std::move(dialer);
  state->options = std::move(options);
  state->epoll = epoll_create1(EPOLL_CLOEXEC);
  state->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (state->epoll < 0 || state->wake < 0) return fail(Code::io, "no file descriptor left for the fetcher", {}, "raise the limit on open files (ulimit -n)");
  epoll_event event{};
  event.data.fd = state->wake;
  event.events = EPOLLIN;
  if (epoll_ctl(state->epoll, EPOLL_CTL_ADD, state->wake, &event) != 0) return fail(Code::io, "epoll does not take a descriptor");
  state->multi = curl_multi_init();
  if (state->multi == nullptr) return fail(Code::internal, "libcurl does not start");
  curl_multi_setopt(state->multi, CURLMOPT_SOCKETFUNCTION, &State::on_socket);
  curl_multi_setopt(state->multi, CURLMOPT_SOCKETDATA, state.get());
  curl_multi_setopt(state->multi, CURLMOPT_TIMERFUNCTION, &State::on_timer);
  curl_multi_setopt(state->multi, CURLMOPT_TIMERDATA, state.get());
  curl_multi_setopt(state->multi, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(state->options.per_host));
  curl_multi_setopt(state->multi, CURLMOPT_MAXCONNECTS, static_cast<long>(std::min<std::size_t>(state->options.in_flight, 64)));
  return std::unique_ptr<CurlFetcher>(new CurlFetcher(std::move(state)));
}

void CurlFetcher::fetch(FetchRequest request, Done done) {
  Result<Url> url = parse_url(request.url);
  const auto refuse = [&](Code code, Sentence what) {
    ++state_->count.errors;
    if (code == Code::refused) ++state_->count.refused;
    done(fail(code, std::move(what), without_credentials(request.url)));
  };
  if (!url) return refuse(Code::invalid, say("not_an_address", "not an address"));
  if (url->scheme != "http" && url->scheme != "https") return refuse(Code::refused, say("only_http", "only http and https are fetched"));
  if (url->host.empty()) return refuse(Code::invalid, say("no_host_in_address", "an address without a host"));
  auto job = std::make_unique<State::Job>();
  job->state = state_.get();
  job->origin = std::move(*url);
  job->target = job->origin;
  job->target.username.clear();
  job->target.password.clear();
  job->queued = std::chrono::steady_clock::now();
  job->deadline = job->queued + request.deadline;
  const bool room = state_->count.waiting < state_->options.waiting;
  bool closed = false, first = false;
  {
    const std::scoped_lock lock(state_->mutex);
    closed = state_->closed;
    if (!closed && room) {
      job->request = std::move(request);
      job->done = std::move(done);
      first = state_->inbox.empty();
      ++state_->count.waiting;
      state_->inbox.push_back(std::move(job));
    }
  }
  if (closed) return refuse(Code::unavailable, say("fetcher_stopping", "the fetcher is stopping"));
  if (!room) return refuse(Code::unavailable, say("fetches_waiting", "too many fetches wait already"));
  if (first) state_->ring();
}

void CurlFetcher::run(std::stop_token stop) {
  // OpenSSL writes to sockets that their peer may have closed; only the thread that writes gets the signal.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  const std::stop_callback wake_up(stop, [this] { state_->ring(); });
  while (!stop.stop_requested()) state_->turn_once();
  state_->stop_all();
}

FetchCounters CurlFetcher::counters() const {
  const auto& c = state_->count;
  return {c.started, c.replies, c.errors, c.refused, c.hops, c.wire_bytes, c.waiting, c.in_flight};
}

// ---- the twin

struct FaultFetcher::State {
  Fetcher& inner;
  std::uint64_t n;
  Fault fault;
  std::atomic<std::uint64_t> calls{0};
};

FaultFetcher::FaultFetcher(Fetcher& inner, std::uint64_t n, Fault fault) : state_(new State{inner, n, fault}) {}
FaultFetcher::~FaultFetcher() = default;
std::uint64_t FaultFetcher::calls() const { return state_->calls; }

void FaultFetcher::fetch(FetchRequest request, Done done) {
  if (++state_->calls != state_->n) return state_->inner.fetch(std::move(request), std::move(done));
  switch (state_->fault) {
    case Fault::error: return done(fail(Code::io, "the connection failed on purpose", without_credentials(request.url)));
    case Fault::lost:
      return state_->inner.fetch(std::move(request),
                                 [done = std::move(done)](Result<FetchReply>) { done(fail(Code::timeout, "the answer was lost on purpose")); });
    case Fault::cut_short:
      return state_->inner.fetch(std::move(request), [done = std::move(done)](Result<FetchReply> result) {
        if (result) result->body.resize(result->body.size() / 2);
        done(std::move(result));
      });
  }
}

}  // namespace weir
