#include "engine/poller.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>

#include "base/hash.h"
#include "base/log.h"
#include "base/url.h"
#include "engine/parts.h"
#include "ingest/discover.h"
#include "ingest/icon.h"
#include "ingest/schedule.h"

namespace weir {
namespace {

constexpr std::size_t most_under_way = 2'000;           // sources: beyond that the next ones wait in the database
constexpr std::size_t most_arrived_bytes = 128u << 20;  // of replies that wait for a worker
constexpr std::size_t icons_kept = 4'096;

// An error by its name, for pages in other languages.
std::string problem_of(const guard::Guard& guard, const Error& error) {
  std::vector<Value> values;
  for (const Value& value : error.values) values.emplace_back(value.name, safe(guard, value.text));
  json::object out{{"code", to_string(error.code)}};
  if (!error.where.empty()) out["where"] = safe(guard, error.where);
  put_name(out, error.key, values);
  return json::serialize(out);
}

PollOutcome poll_outcome(const store::FetchOutcome& outcome) {
  if (outcome.health == Health::gone) return PollOutcome::gone;
  if (outcome.health != Health::ok) return PollOutcome::failed;
  return outcome.items.empty() ? PollOutcome::unchanged : PollOutcome::changed;
}

}  // namespace

struct Poller::Arrived {
  Source source;
  Result<FetchReply> reply;
  Done done;
  std::optional<Seeking> seeking{};  // then it is not a feed, but a page that may name an icon
};

Poller::Poller(Ground ground) : ground_(std::move(ground)), arrived_(std::make_unique<Queue<Arrived>>(2 * most_under_way)) {
  std::memcpy(&random_, random_bytes(sizeof random_).data(), sizeof random_);
}

Result<std::unique_ptr<Poller>> Poller::open(Ground ground, const std::vector<std::string>& allow_net) {
  const Dialer dialer = TRY(Dialer::allowing(allow_net));
  std::unique_ptr<Poller> poller(new Poller(std::move(ground)));
  FetchOptions options;
  // As for other programs: certificates to trust, instead of the system's. NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread that could set it
  if (const char* file = std::getenv("SSL_CERT_FILE"); file != nullptr && *file != '\0') {
    if (!std::ifstream(file)) return fail(Code::invalid, "cannot be read", file, "SSL_CERT_FILE must name a file of certificates, or be unset");
    options.ca_file = file;
  }
  poller->fetcher_ = TRY(CurlFetcher::open(dialer, std::move(options)));
  return poller;
}

Poller::~Poller() { stop(); }

void Poller::stop() {
  wake();
  arrived_->close();  // what has arrived is still worked on
  {
    const std::scoped_lock lock(mutex_);
    drained_.notify_all();
  }
  if (fetch_thread_.joinable()) {
    fetch_thread_.request_stop();
    fetch_thread_.join();
  }
  for (std::jthread& worker : workers_)
    if (worker.joinable()) worker.join();
}

void Poller::wake() {
  const std::scoped_lock lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

void Poller::ensure_fetching() {
  std::call_once(fetching_, [&] {
    fetch_thread_ = std::jthread([this](std::stop_token stop) { fetcher_->run(stop); });
    for (int i = 0; i < 2; ++i) workers_.emplace_back([this] { work(); });
  });
}

double Poller::chance() {  // xorshift64*: spreads polls, protects nothing
  const std::scoped_lock lock(mutex_);
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return static_cast<double>((random_ * 0x2545F4914F6CDD1Dull) >> 11) * 0x1.0p-53;
}

bool Poller::poll(const Source& source, FetchUrgency urgency, Done done) {
  {
    const std::scoped_lock lock(mutex_);
    if (!under_way_.insert(source.id).second) return false;
  }
  ensure_fetching();
  FetchRequest request{.url = source.url, .etag = source.etag, .last_modified = source.last_modified, .purpose = FetchPurpose::feed, .urgency = urgency};
  fetcher_->fetch(std::move(request), [this, source, done = std::move(done)](Result<FetchReply> reply) mutable {
    const SourceId id = source.id;
    if (!hand_over({source, std::move(reply), std::move(done)})) {
      const std::scoped_lock lock(mutex_);
      under_way_.erase(id);
    }
  });
  return true;
}

// On the fetcher's thread. While the workers are far behind it waits here and reads no further: that bounds what is held in memory.
bool Poller::hand_over(Arrived arrived) {
  {
    std::unique_lock lock(mutex_);
    drained_.wait(lock, [&] { return arrived_bytes_ < most_arrived_bytes || arrived_->closed(); });
    arrived_bytes_ += arrived.reply ? arrived.reply->body.size() : 0;
  }
  return arrived_->push(std::move(arrived));
}

Result<FetchReply> Poller::fetch_now(FetchRequest request) {
  ensure_fetching();
  request.urgency = FetchUrgency::interactive;
  std::promise<Result<FetchReply>> promise;
  auto answer = promise.get_future();
  fetcher_->fetch(std::move(request), [&promise](Result<FetchReply> reply) { promise.set_value(std::move(reply)); });
  return answer.get();
}

void Poller::work() {
  while (auto arrived = arrived_->pop()) {
    {
      const std::scoped_lock lock(mutex_);
      arrived_bytes_ -= arrived->reply ? arrived->reply->body.size() : 0;
      drained_.notify_all();
    }
    if (arrived->seeking) take_page(*arrived);
    else digest(std::move(*arrived));
  }
}

store::FetchOutcome Poller::outcome(const Arrived& arrived, std::vector<std::string>& icons) {
  const Source& source = arrived.source;
  const Time now = ground_.clock.now();
  store::FetchOutcome out{.source = source.id, .now = now};
  PollHistory history;
  std::vector<Time> published;
  PollWishes wishes = source.wishes;
  const auto failed = [&](Health health, const Error& why) {
    out.health = health;
    out.fetched = false;
    out.failures = source.failures + 1;
    out.error = safe(ground_.guard, why.text());
    out.problem = problem_of(ground_.guard, why);
  };

  // Our own trouble says nothing about the source.
  const auto ours = [&](const Error& error) {
    failed(source.health, error);
    out.failures = source.failures;
    out.next_at = now + std::chrono::minutes(5);
    return out;
  };
  if (!arrived.reply && arrived.reply.error().code == Code::unavailable) return ours(arrived.reply.error());
  if (!arrived.reply) {
    failed(Health::failing, arrived.reply.error());
  } else {
    const FetchReply& reply = *arrived.reply;
    history.max_age = reply.max_age;
    history.retry_after = reply.retry_after;
    if (reply.status == 304) {
      // Nothing new: validators stay as they are, and the rhythm is that of the items which are here.
      out.url = reply.moved_to;
      if (auto here = ground_.store.reader()->published(source.id, 20)) published = std::move(*here);
    } else if (reply.status == 410) {
      failed(Health::gone, failure(Code::not_found, say("feed_gone", "the server says that this feed is gone for good (410)")));
    } else if (reply.status < 200 || reply.status > 299) {
      failed(Health::failing, failure(Code::io, say("http_status", "the server answered {status}", {{"status", reply.status}})));
    } else {
      Result<Feed> feed = parse_feed_in(ground_.sandbox, reply.body, {.base_url = reply.url, .content_type = reply.content_type});
      if (feed && (feed->format == "html" || feed->format == "opml"))
        feed = fail(Code::not_a_feed, feed->format == "html" ? say("page_now", "the address answers with a web page now, not a feed")
                                                             : say("list_now", "the address answers with a list of feeds, not a feed"));
      if (!feed && feed.error().code == Code::unavailable) return ours(feed.error());
      if (!feed) {
        const bool killed = feed.error().code == Code::crashed || feed.error().code == Code::timeout;
        failed(killed ? Health::quarantined : Health::failing, feed.error());
        if (killed) history.retry_after = std::chrono::hours(24);
      } else {
        for (const Item& item : feed->items)
          if (item.date_published) published.push_back(*item.date_published);
        if (!feed->title.empty()) out.title = feed->title;
        if (!feed->home_page_url.empty()) out.home_page_url = feed->home_page_url;
        if (!feed->description.empty()) out.description = feed->description;
        if (!feed->language.empty()) out.language = feed->language;
        if (!feed->icon.empty()) icons.push_back(feed->icon);
        if (!feed->is_cut) {  // of what came cut off the rest is asked for: libcurl does not tell a body whose compression ends early
          out.etag = reply.etag;
          out.last_modified = reply.last_modified;
        }
        out.url = reply.moved_to;
        out.items = guarded(ground_.guard, std::move(feed->items));
        wishes = PollWishes{.ttl = feed->ttl, .skip_hours = feed->skip_hours, .skip_days = feed->skip_days};
        out.wishes = wishes;
      }
    }
  }
  history.ttl = wishes.ttl;
  history.skip_hours = wishes.skip_hours;
  history.skip_days = wishes.skip_days;
  history.outcome = poll_outcome(out);
  history.failures = out.failures;
  history.published = published;
  if (source.fetched_at && source.next_at && *source.next_at > *source.fetched_at) history.previous = *source.next_at - *source.fetched_at;
  out.next_at = next_poll(history, now, chance());
  return out;
}

void Poller::digest(Arrived arrived) {
  const SourceId id = arrived.source.id;
  // A fetch that was cut off by our own stopping leaves no trace.
  if (!arrived.reply && arrived.reply.error().code == Code::unavailable && arrived_->closed()) {
    {
      const std::scoped_lock lock(mutex_);
      under_way_.erase(id);
    }
    if (arrived.done) arrived.done(std::unexpected(arrived.reply.error()));
    return;
  }
  std::vector<std::string> icons;
  auto result = std::make_shared<const store::FetchOutcome>(outcome(arrived, icons));
  auto stored = std::make_shared<store::FetchResult>();
  auto rest = std::make_shared<Arrived>(std::move(arrived));
  committing_.acquire();  // so many commits may be waiting; workers go on with the next document meanwhile
  ground_.store.submit(
      [result, stored](store::Writer& writer) -> Status {
        *stored = TRY(writer.commit_fetch(*result));
        return {};
      },
      [this, result, stored, rest, icons = std::move(icons)](const Status& committed) {
        committing_.release();
        finish(*rest, *result, committed, *stored, icons);
      });
}

void Poller::finish(Arrived& arrived, const store::FetchOutcome& result, const Status& committed, const store::FetchResult& stored,
                    const std::vector<std::string>& icons) {
  const SourceId id = arrived.source.id;
  {
    const std::scoped_lock lock(mutex_);
    under_way_.erase(id);
  }
  if (!committed) log_error("poll", "source {}: not stored: {}", id.value, to_string(committed.error().code));
  else ground_.stored(id, stored);
  if (result.health != arrived.source.health) ground_.changed_health(id, result.health);
  if (committed && result.fetched && arrived.source.icon_type.empty() && !arrived.source.fetched_at) {
    arrived.source.home_page_url = result.home_page_url.value_or(arrived.source.home_page_url);
    fetch_icon(arrived.source, icons);
  }
  if (!arrived.done) return;
  if (!committed) arrived.done(std::unexpected(committed.error()));
  else if (result.health != Health::ok) arrived.done(fail(Code::unavailable, result.error, without_credentials(arrived.source.url)));
  else arrived.done(stored);
}

void Poller::fetch_icon(const Source& source, std::vector<std::string> candidates) {
  if (std::string usual = default_icon(source.home_page_url.empty() ? source.url : source.home_page_url); !usual.empty())
    candidates.push_back(std::move(usual));
  seek_icon({.source = source.id, .candidates = std::move(candidates), .page = source.home_page_url});
}

// Only when nothing else was an icon: most sites have /favicon.ico, and a page costs more than that.
void Poller::seek_on_page(Seeking seeking) {
  const std::string page = std::exchange(seeking.page, "");
  if (page.empty()) return;
  fetcher_->fetch({.url = page, .purpose = FetchPurpose::page, .limit = 1u << 20}, [this, seeking](Result<FetchReply> reply) {
    if (reply && reply->status == 200) hand_over({{}, std::move(reply), {}, seeking});
  });
}

void Poller::take_page(const Arrived& arrived) {
  constexpr std::size_t most_icons = 4;
  auto page = read_page_in(ground_.sandbox, arrived.reply->body, arrived.reply->url);
  if (!page) return;
  if (page->icons.size() > most_icons) page->icons.resize(most_icons);
  seek_icon({.source = arrived.seeking->source, .candidates = std::move(page->icons)});
}

// One look at an address serves all that ask for it, those who ask meanwhile too.
void Poller::seek_icon(Seeking seeking) {
  const auto keep = [this](SourceId id, const std::string& type, const std::string& bytes) {
    ground_.store.submit([id, type, bytes](store::Writer& writer) { return writer.set_icon(id, type, bytes); }, [](Status) {});
  };
  std::string url;
  for (std::unique_lock lock(mutex_); url.empty(); ++seeking.at) {
    if (seeking.at == seeking.candidates.size()) {
      lock.unlock();
      return seek_on_page(std::move(seeking));
    }
    if (icons_.size() >= icons_kept) std::erase_if(icons_, [](const auto& one) { return !one.second.looking; });
    const auto [found, fresh] = icons_.try_emplace(seeking.candidates[seeking.at]);
    Icon& icon = found->second;
    if (fresh) url = found->first;
    if (icon.looking) icon.waiting.push_back(seeking);
    if (icon.looking && !fresh) return;
    if (icon.type.empty()) continue;
    const auto [looking, type, bytes, waiting] = icon;
    lock.unlock();
    return keep(seeking.source, type, bytes);
  }
  fetcher_->fetch({.url = url, .purpose = FetchPurpose::icon, .limit = 256u << 10}, [this, url, keep](Result<FetchReply> reply) {
    std::string type, bytes;
    if (reply && reply->status == 200)
      if (const auto known = image_type(reply->body)) type = *known, bytes = std::move(reply->body);
    std::vector<Seeking> waiting;
    {
      const std::scoped_lock lock(mutex_);
      Icon& icon = icons_[url];
      icon.looking = false;
      icon.type = type;
      icon.bytes = bytes;
      waiting.swap(icon.waiting);
    }
    for (Seeking& one : waiting) {
      if (!type.empty()) {
        keep(one.source, type, bytes);
      } else {
        ++one.at;
        seek_icon(std::move(one));
      }
    }
  });
}

void Poller::run(std::stop_token stop) {
  const Time started = ground_.clock.now();
  // Each overdue source gets one moment in the first minutes after a start, always the same one for the same start.
  const auto released = [&](const Source& source) {
    const bool absurd = source.next_at && *source.next_at > started + store::farthest_next;  // the clock was wrong when it was written
    if (!source.next_at || (*source.next_at >= started && !absurd)) return started;
    const double place =
        static_cast<double>(xxh3({reinterpret_cast<const char*>(&source.id.value), sizeof source.id.value}, static_cast<std::uint64_t>(to_micros(started))) >>
                            11) *
        0x1.0p-53;
    return spread(absurd ? started : *source.next_at, started, place);
  };
  while (!stop.stop_requested()) {
    const Time now = ground_.clock.now();
    const std::size_t busy = under_way();
    std::size_t held_back = 0;
    if (busy < most_under_way) {
      const auto due = ground_.store.reader()->due(now, most_under_way);
      if (!due) log_error("poll", "cannot read what is due: {}", to_string(due.error().code));
      else
        for (const Source& source : *due) {
          if (stop.stop_requested()) break;
          if (released(source) > now) ++held_back;
          else poll(source, FetchUrgency::poll, {});
        }
    }
    auto wait = std::chrono::milliseconds(busy || held_back ? 1'000 : 30'000);
    if (!busy && !held_back)
      if (const auto next = ground_.store.reader()->next_due(); next && *next)
        wait = std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(**next - now), std::chrono::milliseconds(200), wait);
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, wait, [&] { return woken_; });
    woken_ = false;
  }
}

FetchCounters Poller::counters() const { return fetcher_->counters(); }

std::size_t Poller::under_way() const {
  const std::scoped_lock lock(mutex_);
  return under_way_.size();
}

}  // namespace weir
