// The store under load, to be killed at any moment by tests/durability.
//
// weir_store_driver load DIR FROM [normal | AGAIN]: fetches, pushes, read marks, indexing, all at once, for ever. A line on stdout before and after each
// write:
//   s S B    batch B of source S was sent (items "S-B-0" … "S-B-4", ETag B)        a S B    its answer: it is on the disk
//   r ID     item ID was marked read, and answered
// Source 2 is pushed to, in pieces of two items: a batch may be there in part until it is answered. FROM is the first batch; AGAIN the one that source 2 is
// sent again first, as a client does that got no answer. normal: synchronous=NORMAL, the negative control of the power cut.
// weir_store_driver dump DIR: what is there. i GUID READ · e S ETAG UNREAD TOTAL · n FOUND QUEUED (words found by search, items in the outbox) · ok
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>
#include <thread>

#include "store/store.h"

namespace {

using namespace weir;
using store::Store;
using store::Writer;

constexpr int sources = 3, pushed = 2, batch_size = 5;
const Time start = *parse_rfc3339("2026-11-24T03:00:00Z");

template <class T>
T ok(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "weir_store_driver: {}\n", result.error().text());
    std::_Exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

void say(const std::string& line) {
  if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::_Exit(1);
}

struct Ground {
  UserId user;
  SourceId source[sources];
};

Result<Ground> ground(Writer& w, Store& store) {
  Ground out;
  auto reader = store.reader();
  if (const auto user = reader->user_named("reader")) {
    out.user = user->id;
    const auto ids = TRY(reader->sources_of(out.user));
    for (std::size_t s = 0; s < ids.size() && s < sources; ++s) out.source[s] = ids[s];
    return out;
  }
  out.user = TRY(w.add_user("reader", start));
  for (int s = 0; s < pushed; ++s) {
    out.source[s] = TRY(w.add_feed(fmt::format("https://{}.example/feed", s), start));
    TRY(w.subscribe(out.user, out.source[s], "", ""));
  }
  out.source[pushed] = TRY(w.add_push(out.user, "pushed"));
  return out;
}

store::FetchOutcome batch(SourceId source, int s, int b) {
  store::FetchOutcome out{.source = source, .now = start + std::chrono::seconds(b), .items = {}, .etag = std::to_string(b), .next_at = start};
  for (int i = 0; i < batch_size; ++i) {
    store::NewItem item;
    item.item.id = fmt::format("{}-{}-{}", s, b, i);
    item.item.title = fmt::format("title {}", item.item.id);
    item.item.content_html = fmt::format("<p>text of {} {}</p>", item.item.id, std::string(static_cast<std::size_t>(100 + b * 37 % 900), 'x'));
    out.items.push_back(std::move(item));
  }
  return out;
}

int load(const char* dir, int from, int again, bool normal) {
  auto store = ok(Store::open(dir, {.push_piece = 2, .normal_sync = normal}));
  const Ground at = ok(store->write([&](Writer& w) { return ground(w, *store); }));
  std::jthread writer([&](std::stop_token stop) { store->run_writer(stop); });
  const auto feed = [&](int s) {
    for (int b = from;; ++b) {
      say(fmt::format("s {} {}\n", s, b));
      const auto done = ok(store->write([&](Writer& w) { return w.commit_fetch(batch(at.source[s], s, b)); }));
      say(fmt::format("a {} {}\n", s, b));
      const ItemId id = done.stored_ids.front();
      ok(store->write([&](Writer& w) { return w.mark(at.user, std::span(&id, 1), store::Mark::read); }));
      say(fmt::format("r {}\n", id.value));
    }
  };
  const auto push = [&](int b) {
    say(fmt::format("s {} {}\n", pushed, b));
    auto outcome = batch(at.source[pushed], pushed, b);
    outcome.etag = {};
    outcome.next_at = {};
    const auto done = ok(store->push(std::move(outcome)));
    if (done.stored + done.duplicates != batch_size) std::_Exit(1);
    say(fmt::format("a {} {}\n", pushed, b));
  };
  std::jthread zero([&] { feed(0); }), one([&] { feed(1); }), two([&] {
    if (again >= 0) push(again);
    for (int b = from;; ++b) push(b);
  });
  while (true) {
    ok(store->write([](Writer& w) { return w.index_search(); }));
    (void)ok(store->reader()->items(at.user, {.limit = 10}));
  }
}

int dump(const char* dir) {
  auto store = ok(Store::open(dir));
  ok(store->integrity_check());
  const Ground at = ok(store->write([&](Writer& w) { return ground(w, *store); }));
  while (ok(store->write([](Writer& w) { return w.index_search(); })) > 0) {}
  auto reader = store->reader();
  store::IdPage page;
  ItemQuery query{.limit = 1'000, .bodies = false};
  do {
    const auto items = ok(reader->items(at.user, query));
    for (const auto& item : items.items) fmt::print("i {} {} {}\n", item.item.id, item.id.value, item.read ? 1 : 0);
    query.cursor = items.cursor;
  } while (!query.cursor.empty());
  for (int s = 0; s < sources; ++s) {
    const auto subscription = ok(reader->subscription(at.user, at.source[s]));
    fmt::print("e {} {} {} {}\n", s, subscription.source.etag.empty() ? "-1" : subscription.source.etag, subscription.unread, subscription.total);
  }
  std::size_t found = 0;
  ItemQuery title{.text = "title", .limit = 10'000};
  do {
    const auto ids = ok(reader->ids(at.user, title));
    found += ids.items.size();
    title.cursor = ids.cursor;
  } while (!title.cursor.empty());
  fmt::print("n {} {}\nok\n", found, ok(reader->work(store::Stage::encode)).queued);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 2 ? argv[1] : "";
  const std::string_view last = argc > 4 ? argv[4] : "-1";
  if (mode == "load" && argc >= 4) return load(argv[2], std::atoi(argv[3]), last == "normal" ? -1 : std::atoi(last.data()), last == "normal");
  if (mode == "dump" && argc == 3) return dump(argv[2]);
  return fmt::print(stderr, "usage: weir_store_driver load DIR FROM [normal | AGAIN] | dump DIR\n"), 2;
}
