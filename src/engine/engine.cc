#include "engine/engine.h"

#include <algorithm>
#include <charconv>

#include "base/hash.h"
#include "base/log.h"
#include "base/url.h"
#include "engine/parts.h"
#include "engine/threads.h"

namespace weir {

std::vector<store::NewItem> guarded(const guard::Guard& guard, std::vector<Item> items) {
  std::vector<store::NewItem> out;
  out.reserve(items.size());
  for (Item& item : items) {
    Verdict verdict = guard.scan(item);
    out.push_back({std::move(item), std::move(verdict)});
  }
  return out;
}

std::string safe(const guard::Guard& guard, std::string_view text) { return guard.seal(guard::Exit::error, std::string(text)).open(); }

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Engine::~Engine() { stop(); }

Result<std::unique_ptr<Engine>> Engine::open(EngineOptions options) {
  auto parts = std::make_unique<Parts>();
  if (options.threads == 0) options.threads = thread_count();
  parts->options = std::move(options);
  parts->sandbox = TRY(Sandbox::start(parser_sandbox(parts->options.program)));
  if (!parts->options.create && !std::filesystem::exists(parts->options.data / "weir.db"))
    return fail(Code::not_found, "no Weir lives here yet", parts->options.data.string(), "start one with `weir serve`, or name another folder with --data");
  parts->store = TRY(store::Store::open(parts->options.data));
  Parts& own = *parts;
  if (own.options.model)
    own.encoding = std::make_unique<Encoding>(*own.store, own.clock, own.options.model_name, own.options.threads, [&own](const Encoding::Progress& progress) {
      own.events.publish({}, "progress", {{"encoded", progress.encoded}, {"queued", progress.queued}});
    });
  own.tastes = std::make_unique<Tastes>(*own.store, own.encoding.get());
  own.poller = TRY(Poller::open({.store = *own.store,
                                 .sandbox = *own.sandbox,
                                 .guard = own.guard,
                                 .clock = own.clock,
                                 .stored = [&own](SourceId source, const store::FetchResult& result) { own.announce(source, result); },
                                 .changed_health =
                                     [&own](SourceId source, Health health) {
                                       if (const auto readers = own.store->reader()->readers_of(source))
                                         for (const UserId user : *readers)
                                           own.events.publish(user, "source", {{"source", source.value}, {"health", to_string(health)}});
                                     }},
                                own.options.allow_net));
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

void Engine::Parts::announce(SourceId source, const store::FetchResult& result) {
  if (result.stored == 0 && result.updated_ids.empty()) return;
  if (const auto readers = store->reader()->readers_of(source))
    for (const UserId user : *readers)
      events.publish(user, "items", {{"source", source.value}, {"stored", result.stored}, {"updated", result.updated_ids.size()}});
  wake_house();
  if (encoding) encoding->wake();
}

Status Engine::start() {
  Parts& own = *parts_;
  if (own.running.exchange(true)) return {};
  own.writer_thread = std::jthread([&own](std::stop_token stop) { own.store->run_writer(stop); });
  own.threads.emplace_back([&own](std::stop_token stop) { own.keep_house(stop); });
  if (own.options.poll) own.threads.emplace_back([&own](std::stop_token stop) { own.poller->run(stop); });
  if (own.encoding) own.threads.emplace_back([&own](std::stop_token stop) { own.encoding->run(stop); });
  return {};
}

void Engine::stop() {
  if (!parts_) return;
  Parts& own = *parts_;
  own.running = false;
  for (std::jthread& thread : own.threads) thread.request_stop();
  own.poller->stop();  // what was fetched is still parsed and stored
  own.threads.clear();
  if (own.writer_thread.joinable()) {
    own.writer_thread.request_stop();
    own.writer_thread.join();
  }
  if (own.store)
    if (const Status done = own.store->checkpoint(); !done) log_warn("engine", "no checkpoint at the end: {}", to_string(done.error().code));
}

// ---- reading ----------------------------------------------------------------------------------------------------------------------------------

Result<Page> Engine::list(UserId user, const ItemQuery& query) {
  Parts& own = *parts_;
  // Without a server nobody indexes in the background: a search does it first.
  if (!query.text.empty() && !own.running)
    while (TRY(own.store->write([](store::Writer& writer) { return writer.index_search(); })) > 0) {}
  if (query.order != Order::ranked) return own.store->reader()->items(user, query);
  // A ranked list is a walk down one ranking: the cursor is how far it went. The ranking is made anew for every page: what is read meanwhile moves up the
  // rest by as many places, so a page may show an item twice but never hides one that was on top.
  std::size_t offset = 0;
  if (!query.cursor.empty()) {
    const std::string_view text = query.cursor;
    if (!text.starts_with("r") || std::from_chars(text.data() + 1, text.data() + text.size(), offset).ec != std::errc())
      return fail(Code::invalid, "the cursor belongs to another list", "cursor", "start again without one");
  }
  if (!query.text.empty()) return fail(Code::invalid, "a search cannot be ordered by taste", "order", "use relevance, newest or oldest");
  const auto ranking = TRY(own.tastes->rank(user, query, own.clock.now()));
  std::vector<ItemId> ids;
  for (std::size_t i = offset; i < ranking.size() && ids.size() < query.limit; ++i) ids.push_back(ranking[i].id);
  Page page{.items = TRY(own.store->reader()->items_by_id(user, ids, query.bodies)),
            .cursor = {},
            .note = say("note_ranked", "for you: the best of the newest {n}", {{"n", 1000}})};
  std::size_t at = offset;
  for (StoredItem& item : page.items) {
    while (at < ranking.size() && ranking[at].id != item.id) ++at;
    if (at < ranking.size()) item.score = ranking[at].value;
  }
  if (offset + ids.size() < ranking.size()) page.cursor = "r" + std::to_string(offset + ids.size());
  return page;
}

Result<StoredItem> Engine::item(UserId user, ItemId id) { return parts_->store->reader()->item(user, id); }

Result<Score> Engine::why(UserId user, ItemId id) {
  const StoredItem item = TRY(this->item(user, id));
  return parts_->tastes->explain(user, item, parts_->clock.now());
}

Status Engine::mark(UserId user, ItemId id, const ItemPatch& patch) {
  Parts& own = *parts_;
  TRY(own.store->reader()->item(user, id));  // not_found for what is not this reader's
  TRY(own.store->write([&](store::Writer& writer) -> Status {
    if (patch.read) TRY(writer.mark(user, std::span(&id, 1), *patch.read ? store::Mark::read : store::Mark::unread));
    if (patch.starred) TRY(writer.mark(user, std::span(&id, 1), *patch.starred ? store::Mark::star : store::Mark::unstar));
    return {};
  }));
  own.events.publish(user, "marks", {{"item", id.value}});
  return {};
}

Result<std::int64_t> Engine::mark_read(UserId user, const MarkRead& what) {
  Parts& own = *parts_;
  if ((what.source ? 1 : 0) + (what.folder ? 1 : 0) + (what.all ? 1 : 0) != 1)
    return fail(Code::invalid, "say exactly one of source, folder and all", "mark-read");
  const std::int64_t changed = TRY(own.store->write(
      [&](store::Writer& writer) { return writer.mark_all_read(user, {.source = what.source, .folder = what.folder, .before = what.before}); }));
  own.events.publish(user, "marks", {{"changed", changed}});
  return changed;
}

Result<std::int64_t> Engine::signal(UserId user, std::vector<Signal> signals) {
  Parts& own = *parts_;
  const Time now = own.clock.now();
  for (Signal& signal : signals) {
    if (signal.id.empty()) signal.id = to_hex(random_bytes(12));
    if (signal.at == Time{} || signal.at > now) signal.at = now;
  }
  const std::int64_t fresh = TRY(own.store->write([&](store::Writer& writer) -> Result<std::int64_t> {
    std::int64_t count = 0;
    for (const Signal& signal : signals) count += TRY(writer.add_signal(user, signal)) ? 1 : 0;
    return count;
  }));
  if (fresh > 0) {
    own.tastes->changed(user);
    own.events.publish(user, "marks", {{"signals", fresh}});
  }
  return fresh;
}

Result<Engine::Counts> Engine::counts(UserId user) {
  auto reader = parts_->store->reader();
  Counts out;
  for (const Subscription& one : TRY(reader->subscriptions(user))) {
    out.unread += one.unread;
    out.total += one.total;
  }
  out.starred = TRY(reader->starred_count(user));
  return out;
}

Result<json::object> Engine::settings(UserId user) { return TRY(parts_->store->reader()->user(user)).settings; }

Status Engine::set_settings(UserId user, json::object settings) {
  for (const std::string_view key : {"keep_days", "keep_starred_days"}) {  // the others are the reader's own affair
    const json::value* days = settings.if_contains(key);
    if (!days || days->is_null()) continue;
    const auto count = find_int(settings, key);
    if (!count || *count < 0 || *count > 100'000)
      return fail(Code::invalid, "a number of days from 0 (for ever) to 100000 is expected", std::string(key), "leave it away for the default");
  }
  return parts_->store->write([&](store::Writer& writer) { return writer.set_settings(user, settings); });
}

Result<Engine::Taste> Engine::taste(UserId user) {
  const int signals = TRY(parts_->tastes->signals(user));
  return Taste{.signals = signals, .enough = signals >= rank::enough, .model = parts_->encoding != nullptr};
}

Result<std::optional<Engine::Progress>> Engine::encoding() {
  if (!parts_->encoding) return std::nullopt;
  return Progress{.encoded = parts_->encoding->progress().encoded, .queued = TRY(parts_->store->reader()->work(store::Stage::encode)).queued};
}

Status Engine::backup(const std::filesystem::path& file) { return parts_->store->backup(file); }

json::object Engine::flow(UserId user) {
  json::array hours;
  const auto arrivals = parts_->store->reader()->arrivals(user, parts_->clock.now() - std::chrono::hours(24 * 14));
  if (arrivals)
    for (const store::Arrivals& one : *arrivals) hours.push_back({{"source", one.source.value}, {"hour", to_rfc3339(one.hour)}, {"stored", one.stored}});
  return {{"every", "1h"}, {"arrivals", std::move(hours)}};
}

Events& Engine::events() { return parts_->events; }
const guard::Guard& Engine::guard() const { return parts_->guard; }
Status Engine::database_in_place() const { return parts_->store->in_place(); }
store::Store& Engine::store() { return *parts_->store; }
const Clock& Engine::clock() const { return parts_->clock; }
const EngineOptions& Engine::options() const { return parts_->options; }

}  // namespace weir
