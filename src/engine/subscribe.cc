// Sources as readers handle them: adding by address, lists in and out, items pushed and imported.
#include <algorithm>
#include <atomic>
#include <latch>

#include "base/hash.h"
#include "base/text.h"
#include "base/url.h"
#include "engine/engine.h"
#include "engine/parts.h"
#include "ingest/discover.h"
#include "ingest/schedule.h"

namespace weir {
namespace {

constexpr Duration patience = std::chrono::seconds(15);  // of whoever adds a source by hand

struct Found {
  std::string url;  // to keep
  FetchReply reply;
  Feed feed;                       // format empty: nothing was taken, see `declared`
  std::vector<std::string> icons;  // that the page around it names
  std::vector<FeedLink> declared;  // by the page that was asked for
};

Status answered_well(const FetchReply& reply) {
  if (reply.status >= 200 && reply.status <= 299) return {};
  if (reply.status == 401)
    return fail(Code::forbidden, say("needs_password", "the server answered {status}", {{"status", reply.status}}), reply.url,
                "put user and password into the address: https://user:password@host/…");
  if (reply.status == 429 || reply.status >= 500)
    return fail(Code::io, say("status_later", "the server answered {status}", {{"status", reply.status}}), reply.url, "try again later");
  return fail(reply.status == 403 ? Code::forbidden : Code::not_found, say("status_at_address", "the server answered {status}", {{"status", reply.status}}),
              reply.url, "check the address");
}

// The feed at an address, or the one that the page there links to. `choose`: when the page declares several, none of them.
Result<Found> find_feed(Poller& poller, Sandbox& sandbox, const Clock& clock, const std::string& url, bool choose) {
  const auto began = clock.steady();
  const auto left = [&] { return patience - std::chrono::duration_cast<Duration>(clock.steady() - began); };
  const auto try_one = [&](const std::string& address, FetchPurpose purpose) -> Result<Found> {
    if (left() <= Duration::zero())
      return fail(Code::timeout, say("no_answer_in_15", "no answer within 15 s"), without_credentials(address), "is the address right, is the server up?");
    FetchReply reply = TRY(poller.fetch_now({.url = address, .purpose = purpose, .deadline = left()}));
    TRY(answered_well(reply));
    Feed feed = TRY(parse_feed_in(sandbox, reply.body, {.base_url = reply.url, .content_type = reply.content_type}));
    std::string keep = reply.moved_to.value_or(address);
    return Found{std::move(keep), std::move(reply), std::move(feed), {}, {}};
  };
  Result<Found> first = try_one(url, FetchPurpose::page);
  if (!first) return first;
  if (first->feed.format == "opml")
    return fail(Code::not_a_feed, say("list_of_feeds", "this is a list of feeds, not a feed"), without_credentials(url), "import it as OPML");
  if (first->feed.format != "html") return first;
  const PageReport page = TRY(read_page_in(sandbox, first->reply.body, first->reply.url));
  std::vector<FeedLink> declared = declared_feeds(page.links);
  if (choose && declared.size() > 1) return Found{url, {}, {}, {}, std::move(declared)};
  for (const std::string& candidate : feed_candidates(first->reply.url, page.links)) {
    Result<Found> found = try_one(candidate, FetchPurpose::feed);
    if (found && found->feed.format != "html" && found->feed.format != "opml") {
      std::erase_if(declared, [&](const FeedLink& link) { return link.url == candidate; });
      found->icons = page.icons;
      found->declared = std::move(declared);
      return found;
    }
    if (!found && found.error().code == Code::timeout) return found;
  }
  return fail(Code::not_a_feed, say("no_feed_here", "no feed is here, and the page names none"), without_credentials(url),
              "look on the page for a link called RSS, Atom or feed");
}

std::string with_scheme(std::string_view text) {
  std::string_view trimmed = trim(text);
  trimmed = trimmed.substr(0, trimmed.find('#'));  // a place in a page, nothing that a server sees
  if (trimmed.starts_with("feed://")) return "https://" + std::string(trimmed.substr(7));
  if (trimmed.starts_with("feed:http")) return std::string(trimmed.substr(5));
  return trimmed.find("://") == std::string_view::npos ? "https://" + std::string(trimmed) : std::string(trimmed);
}

std::string joined(const std::vector<std::string>& folders) {
  std::string out;
  for (const std::string& folder : folders) out += (out.empty() ? "" : "/") + folder;
  return out;
}

// An item that came without an id gets one from what it is.
void give_id(Item& item) {
  if (!item.id.empty()) return;
  item.id = !item.url.empty() ? item.url : "sha256:" + to_hex(sha256(item.title + '\n' + item.content_html + '\n' + item.content_text)).substr(0, 32);
}

}  // namespace

Result<AddedSource> Engine::add_source(UserId user, const AddSource& what) {
  Parts& own = *parts_;
  const bool bare = what.url.find("://") == std::string::npos;
  const std::string url = with_scheme(what.url);
  if (!is_http(url))
    return fail(Code::invalid, say("not_web_address", "not an http or https address"), safe(own.guard, without_credentials(what.url)),
                "give the address of a feed or of a page");
  Result<Found> found = find_feed(*own.poller, *own.sandbox, own.clock, url, what.choose);
  if (!found && bare && found.error().code == Code::io) found = find_feed(*own.poller, *own.sandbox, own.clock, "http://" + url.substr(8), what.choose);
  if (!found) return std::unexpected(found.error());
  AddedSource added;
  for (const FeedLink& link : found->declared)
    if (without_credentials(link.url) == link.url) added.feeds.push_back({link.url, safe(own.guard, link.title)});
  if (found->feed.format.empty()) return added;
  const Time now = own.clock.now();
  std::vector<Time> published;
  for (const Item& item : found->feed.items)
    if (item.date_published) published.push_back(*item.date_published);
  store::FetchOutcome outcome{.now = now};
  outcome.title = found->feed.title;
  outcome.home_page_url = found->feed.home_page_url;
  outcome.description = found->feed.description;
  outcome.language = found->feed.language;
  if (!found->feed.is_cut) {
    outcome.etag = found->reply.etag;
    outcome.last_modified = found->reply.last_modified;
  }
  outcome.wishes = PollWishes{.ttl = found->feed.ttl, .skip_hours = found->feed.skip_hours, .skip_days = found->feed.skip_days};
  outcome.next_at = next_poll({.outcome = PollOutcome::changed,
                               .published = published,
                               .max_age = found->reply.max_age,
                               .ttl = found->feed.ttl,
                               .skip_hours = found->feed.skip_hours,
                               .skip_days = found->feed.skip_days},
                              now, own.poller->chance());
  outcome.items = guarded(own.guard, std::move(found->feed.items));
  SourceId id;
  const store::FetchResult stored = TRY(own.store->write([&](store::Writer& writer) -> Result<store::FetchResult> {
    id = TRY(writer.add_feed(found->url, now));
    TRY(writer.subscribe(user, id, what.title, what.folder));
    outcome.source = id;
    return writer.commit_fetch(outcome);
  }));
  own.announce(id, stored);
  Subscription subscription = TRY(own.store->reader()->subscription(user, id));
  if (subscription.source.icon_type.empty()) {
    std::vector<std::string> icons = std::move(found->icons);
    if (!found->feed.icon.empty()) icons.insert(icons.begin(), found->feed.icon);
    own.poller->fetch_icon(subscription.source, std::move(icons));
  }
  added.subscription = std::move(subscription);
  return added;
}

Result<Subscription> Engine::add_push_source(UserId user, std::string title) {
  Parts& own = *parts_;
  const SourceId id = TRY(own.store->write([&](store::Writer& writer) { return writer.add_push(user, title); }));
  return own.store->reader()->subscription(user, id);
}

Result<std::vector<Subscription>> Engine::sources(UserId user) { return parts_->store->reader()->subscriptions(user); }
Result<Subscription> Engine::source(UserId user, SourceId id) { return parts_->store->reader()->subscription(user, id); }

Result<Subscription> Engine::edit_source(UserId user, SourceId id, const SourceEdit& edit) {
  Parts& own = *parts_;
  TRY(own.store->reader()->subscription(user, id));
  std::optional<std::string> url;
  if (edit.url) {
    url = with_scheme(*edit.url);
    if (!is_http(*url)) return fail(Code::invalid, say("not_web_address", "not an http or https address"), "url");
  }
  TRY(own.store->write([&](store::Writer& writer) -> Status {
    std::optional<std::optional<std::int32_t>> keep;
    if (edit.keep_days) keep = *edit.keep_days < 0 ? std::optional<std::int32_t>() : edit.keep_days;
    TRY(writer.edit_subscription(user, id, edit.title, edit.folder, keep));
    if (url) TRY(writer.move_feed(user, id, *url));
    return {};
  }));
  if (url) own.poller->wake();
  return own.store->reader()->subscription(user, id);
}

Status Engine::remove_source(UserId user, SourceId id) {
  Parts& own = *parts_;
  TRY(own.store->reader()->subscription(user, id));
  TRY(own.store->write([&](store::Writer& writer) { return writer.unsubscribe(user, id); }));
  own.wake_house();  // for what goes piece by piece
  own.tastes->changed(user);
  own.events.publish(user, "source", {{"source", id.value}, {"removed", true}});
  return {};
}

Status Engine::refresh(UserId user, SourceId id) {
  Parts& own = *parts_;
  for (const Subscription& one : id ? std::vector{TRY(source(user, id))} : TRY(sources(user)))
    if (one.source.kind == SourceKind::feed) own.poller->poll(one.source, id ? FetchUrgency::interactive : FetchUrgency::poll, {});
  return {};
}

Status Engine::refresh_and_wait(UserId user, SourceId id, const std::function<void(std::size_t, std::size_t)>& progress) {
  Parts& own = *parts_;
  std::vector<Source> feeds;
  for (Subscription& one : id ? std::vector{TRY(source(user, id))} : TRY(sources(user)))
    if (one.source.kind == SourceKind::feed) feeds.push_back(std::move(one.source));
  // Shared with the fetches, which may outlive this call when it is interrupted.
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t done = 0;
  };
  const auto waiting = std::make_shared<Waiting>();
  const auto count = [waiting](const Result<store::FetchResult>&) {
    const std::scoped_lock lock(waiting->mutex);
    ++waiting->done;
    waiting->changed.notify_all();
  };
  for (const Source& feed : feeds)
    if (!own.poller->poll(feed, FetchUrgency::interactive, count)) count({});  // under way already
  std::unique_lock lock(waiting->mutex);
  for (std::size_t told = SIZE_MAX; waiting->done < feeds.size() || told != waiting->done;) {
    if (told != waiting->done) {
      told = waiting->done;
      lock.unlock();
      if (progress) progress(told, feeds.size());
      lock.lock();
      continue;
    }
    waiting->changed.wait(lock);
  }
  return {};
}

Result<ImportReport> Engine::import_opml(UserId user, std::string_view bytes) {
  Parts& own = *parts_;
  const Opml opml = TRY(read_opml_in(*own.sandbox, bytes));
  ImportReport report;
  for (const std::string& warning : opml.warnings) report.refused.push_back({Code::malformed, safe(own.guard, warning), "", ""});
  const Time now = own.clock.now();
  // In pieces: one transaction of thousands would keep others waiting.
  constexpr std::size_t piece = 500;
  for (std::size_t begin = 0; begin < opml.sources.size(); begin += piece) {
    const std::size_t end = std::min(begin + piece, opml.sources.size());
    TRY(own.store->write([&](store::Writer& writer) -> Status {
      for (std::size_t i = begin; i < end; ++i) {
        const OpmlSource& source = opml.sources[i];
        if (!is_http(source.url)) {
          report.refused.push_back({Code::invalid, "not an http or https address", safe(own.guard, without_credentials(source.url)), ""});
          continue;
        }
        const SourceId id = TRY(writer.add_feed(source.url, now));
        const Status subscribed = writer.subscribe(user, id, source.title, joined(source.folders));
        if (subscribed) ++report.added;
        else if (subscribed.error().code == Code::exists) ++report.known;
        else return subscribed;
      }
      return {};
    }));
  }
  if (own.running) own.poller->wake();
  own.events.publish(user, "source", {{"imported", report.added}});
  return report;
}

Result<std::string> Engine::export_opml(UserId user) {
  Opml opml{.title = "Weir", .sources = {}, .warnings = {}};
  for (const Subscription& one : TRY(sources(user))) {
    if (one.source.kind != SourceKind::feed) continue;
    OpmlSource row{.title = one.title.empty() ? one.source.title : one.title,
                   .url = without_credentials(one.source.url),
                   .home_page_url = one.source.home_page_url,
                   .folders = {}};
    for (const std::string_view folder : split(one.folder, '/'))
      if (!folder.empty()) row.folders.emplace_back(folder);
    opml.sources.push_back(std::move(row));
  }
  return write_opml(opml);
}

Result<PushReport> Engine::push(UserId user, SourceId source, const std::vector<Item>& items) {
  Parts& own = *parts_;
  const auto owner = TRY(own.store->reader()->owner_of(source));
  if (owner != user) return fail(Code::not_found, "no such source to push to", std::to_string(source.value));
  if (items.empty()) return PushReport{};
  std::vector<Item> clean = TRY(clean_items_in(*own.sandbox, items));
  for (Item& item : clean) give_id(item);
  const Time now = own.clock.now();
  const store::FetchResult stored = TRY(own.store->push({.source = source, .now = now, .items = guarded(own.guard, std::move(clean))}));
  own.announce(source, stored);
  return PushReport{static_cast<std::int64_t>(stored.stored), static_cast<std::int64_t>(stored.duplicates)};
}

Result<PushReport> Engine::import_feed(UserId user, std::string_view bytes, std::string_view name) {
  Parts& own = *parts_;
  Feed feed = TRY(parse_feed_in(*own.sandbox, bytes, {}));
  if (feed.format == "opml") return fail(Code::not_a_feed, "this is a list of feeds", std::string(name), "import it as OPML");
  if (feed.format == "html")
    return fail(Code::not_a_feed, "this is a web page, not a feed", std::string(name), "weir add its address: the feed that it names is found");
  const std::string title = feed.title.empty() ? std::string(name) : feed.title;
  // The same feed again goes into the same source; another one that is called the same does not: its ids are its own.
  SourceId id;
  for (const Subscription& one : TRY(sources(user)))
    if (one.source.kind == SourceKind::push && one.source.title == title && one.source.home_page_url == feed.home_page_url) id = one.source.id;
  if (!id) id = TRY(add_push_source(user, title)).source.id;
  for (Item& item : feed.items) give_id(item);
  store::FetchOutcome outcome{.source = id, .now = own.clock.now()};
  outcome.home_page_url = feed.home_page_url;
  outcome.language = feed.language;
  outcome.items = guarded(own.guard, std::move(feed.items));
  const store::FetchResult stored = TRY(own.store->push(std::move(outcome)));
  own.announce(id, stored);
  PushReport report{static_cast<std::int64_t>(stored.stored), static_cast<std::int64_t>(stored.duplicates), {}};
  for (const std::string& warning : feed.warnings) report.warnings.push_back(safe(own.guard, warning));
  return report;
}

Result<Engine::Icon> Engine::icon(UserId user, SourceId id) {
  const auto icon = TRY(parts_->store->reader()->icon(user, id));
  if (!icon) return fail(Code::not_found, "this source has no icon", std::to_string(id.value));
  return Icon{icon->type, icon->bytes};
}

}  // namespace weir
