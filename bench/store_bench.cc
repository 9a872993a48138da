// weir_store_bench load DIR TEXT N      fills DIR with N items of one reader (500 sources, 70 % English, 30 % Chinese, about 2.7 kB of HTML, 95 % unread)
// weir_store_bench run DIR TEXT [S [WORD]]   questions (those with WORD in their name) while 350 items/s come in: p50 and p99 of each for S seconds (5), commits, start, bytes an item
// weir_store_bench commits DIR TEXT     the large writes (pushes of 5,000, a source of 100,000 items subscribed to, starred, left): each one's time and the
//                                       longest commit in it, and what a reader who marks one item meanwhile waits
//
// TEXT is what bench/store_corpus.py makes. Items are runs of sentences from one real document, with markup, unique links and a tail of rare words, so that
// they compress and index as real ones do. DIR must be new for load; run and commits add items to it.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "base/file.h"
#include "store/store.h"
#include "types/item.h"

namespace weir {
namespace {

using store::Reader;
using store::Store;
using store::Writer;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

template <class T>
T ok(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "weir_store_bench: {}\n", result.error().text());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

struct Random {
  std::uint64_t state;
  std::uint64_t next() {  // splitmix64
    std::uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(unit() * static_cast<double>(n)); }
};

constexpr std::size_t sources = 500;
const Time epoch = *parse_rfc3339("2025-11-24T00:00:00Z");

class Generator {
 public:
  explicit Generator(const std::filesystem::path& dir) {
    for (const bool zh : {false, true}) {
      for_lines(dir / (zh ? "zh.txt" : "en.txt"), [&](std::string_view line) {
        auto& document = documents_[zh].emplace_back();
        for (std::size_t at = 0; at <= line.size();) {
          const std::size_t end = std::min(line.find('\x1f', at), line.size());
          document.emplace_back(line.substr(at, end - at));
          at = end + 1;
        }
      });
      for_lines(dir / (zh ? "zh_titles.txt" : "en_titles.txt"), [&](std::string_view line) { titles_[zh].emplace_back(line); });
    }
  }

  static std::size_t source_of(std::uint64_t i) {  // busy ones and quiet ones
    Random random{i * 2654435761u + 7};
    return std::min<std::size_t>(random.unit() < 0.9 ? static_cast<std::size_t>(sources * std::pow(random.unit(), 1.6)) : random.below(sources), sources - 1);
  }

  store::NewItem make(std::uint64_t i, std::size_t source) const {
    Random random{i * 0x9e3779b97f4a7c15u + 99};
    const bool zh = source % 10 < 3;
    store::NewItem out;
    Item& item = out.item;
    item.url = fmt::format("https://www.site{}.example/2026/{:02}/{}{:x}", source, random.below(12) + 1, zh ? "a/" : "the-story-of-", random.next() >> 24);
    item.id = item.url;
    item.title = titles_[zh][random.below(titles_[zh].size())];
    if (random.unit() < 0.3) item.title += " " + rare(random);
    static constexpr std::string_view authors[] = {"Ada Park", "Priya Nair", "Tom", ""};
    if (const auto author = authors[random.below(4)]; !author.empty()) item.authors = {{std::string(author), ""}};
    item.language = zh ? "zh" : "en";
    out.verdict.policy = 1;
    std::string& html = item.content_html;
    if (random.unit() < 0.5)
      html += fmt::format("<p><img src=\"https://img.site{}.example/media/{:x}.jpg\" alt=\"\" width=\"800\" height=\"450\"></p>", source, random.next() >> 20);
    const double normal = std::sqrt(-2 * std::log(1 - random.unit())) * std::cos(6.283185307 * random.unit());
    fill(html, zh, std::exp(7.17 + 1.15 * normal), random);  // log-normal, mean about 2.7 kB
    return out;
  }

 private:
  static void for_lines(const std::filesystem::path& file, const std::function<void(std::string_view)>& take) {
    std::ifstream in(file);
    if (!in) ok<void>(fail(Code::not_found, "is missing", file.string(), "make it with bench/store_corpus.py"));
    for (std::string line; std::getline(in, line);) take(line);
  }

  static std::string rare(Random& random) {  // Zipf's tail: a million different words
    Random word{static_cast<std::uint64_t>(std::pow(3e6, random.unit())) * 77};
    static constexpr std::string_view syllables[] = {"ka", "ro", "mi", "ten", "sul", "dor", "vi", "ash", "lem", "bur", "gan", "po", "chi", "wex", "tal", "ne"};
    std::string out;
    for (std::size_t n = 3 + word.below(3); n > 0; --n) out += syllables[word.below(16)];
    return out;
  }

  void fill(std::string& html, bool zh, double want, Random& random) const {
    while (want > 0) {
      const auto& document = documents_[zh][random.below(documents_[zh].size())];
      for (std::size_t at = random.below(document.size() > 3 ? document.size() - 2 : 1); want > 0 && at < document.size();) {
        const std::size_t before = html.size();
        html += "<p>";
        for (int n = 0; n < 3 && at < document.size(); ++n, ++at) {
          escape(html, document[at]);
          if (!zh) html += ' ';
          if (random.unit() < 0.15)
            html += fmt::format("<a href=\"https://www.site{}.example/r/{:x}\">{}</a> ", random.below(3000), random.next() >> 28, rare(random));
        }
        html += "</p>\n";
        want -= static_cast<double>(html.size() - before);
      }
    }
  }

  static void escape(std::string& out, std::string_view text) {
    for (const char c : text) {
      if (c == '<') out += "&lt;";
      else if (c == '>') out += "&gt;";
      else if (c == '&') out += "&amp;";
      else out += c;
    }
  }

  std::vector<std::vector<std::string>> documents_[2];
  std::vector<std::string> titles_[2];
};

// Items i in [from, to), as fetches of their sources.
std::map<std::size_t, store::FetchOutcome> fetches(const Generator& generator, const std::vector<SourceId>& ids, std::uint64_t from, std::uint64_t to,
                                                   Time at) {
  std::map<std::size_t, store::FetchOutcome> out;
  for (std::uint64_t i = from; i < to; ++i) {
    const std::size_t source = Generator::source_of(i);
    auto& outcome = out[source];
    outcome.source = ids[source];
    outcome.now = at;
    outcome.next_at = at + std::chrono::hours(1);
    outcome.items.push_back(generator.make(i, source));
  }
  return out;
}

Status put(Writer& writer, const std::map<std::size_t, store::FetchOutcome>& batch) {
  for (const auto& [source, outcome] : batch) TRY(writer.commit_fetch(outcome));
  return {};
}

std::size_t file_bytes(const std::filesystem::path& file) {
  std::error_code none;
  const auto n = std::filesystem::file_size(file, none);
  return none ? 0 : n;
}

int load(const std::filesystem::path& dir, const Generator& generator, std::uint64_t n) {
  auto store = ok(Store::open(dir));
  const UserId user = ok(store->write([](Writer& w) { return w.add_user("reader", epoch); }));
  std::vector<SourceId> ids;
  ok(store->write([&](Writer& w) -> Status {
    for (std::size_t s = 0; s < sources; ++s) {
      ids.push_back(TRY(w.add_feed(fmt::format("https://www.site{}.example/feed", s), epoch)));
      TRY(w.subscribe(user, ids.back(), fmt::format("Site {}", s), fmt::format("Folder {}", s % 20)));
    }
    return {};
  }));
  double generating = 0, worst = 0;
  const double begun = now(), cpu_begun = cpu();
  std::size_t html = 0;
  constexpr std::uint64_t batch_size = 1'000;
  for (std::uint64_t i = 0; i < n; i += batch_size) {
    const double c = cpu();
    const Time at = epoch + std::chrono::seconds(30) * static_cast<long>(i);
    const auto batch = fetches(generator, ids, i, std::min(i + batch_size, n), at);
    for (const auto& [s, o] : batch)
      for (const auto& item : o.items) html += item.item.content_html.size();
    generating += cpu() - c;
    const double t = now();
    ok(store->write([&](Writer& w) { return put(w, batch); }));
    worst = std::max(worst, now() - t);
    while (ok(store->write([&](Writer& w) { return w.index_search(1'000); })) > 0) {}
    ok(store->train_dictionaries());
    if ((i / batch_size) % 50 == 0) {  // 5 % read, 1 % starred, all over what came since
      Random random{i};
      std::vector<ItemId> read, stars;
      const std::int64_t first = static_cast<std::int64_t>(i) + 1, last = static_cast<std::int64_t>(std::min(i + batch_size * 50, n));
      for (std::int64_t id = std::max<std::int64_t>(1, first - 50 * static_cast<std::int64_t>(batch_size));
           id <= std::min(last, first + static_cast<std::int64_t>(batch_size) - 1); ++id) {
        const double u = random.unit();
        if (u < 0.05) read.push_back(ItemId{id});
        else if (u > 0.99) stars.push_back(ItemId{id});
      }
      ok(store->write([&](Writer& w) -> Status {
        TRY(w.mark(user, read, store::Mark::read));
        TRY(w.mark(user, stars, store::Mark::star));
        return {};
      }));
      fmt::print(stderr, "{} items, {:.0f} s\n", i, now() - begun);
    }
  }
  const double seconds = now() - begun;
  ok(store->checkpoint());
  fmt::print("load: {} items of {:.0f} B of HTML in {:.0f} s ({:.0f}/s), {:.0f} us CPU an item without the generator, worst commit of {} items {:.0f} ms\n", n,
             static_cast<double>(html) / static_cast<double>(n), seconds, static_cast<double>(n) / seconds,
             (cpu() - cpu_begun - generating) / static_cast<double>(n) * 1e6, batch_size, worst * 1e3);
  fmt::print("bytes an item on disk, searchable: {:.0f}\n", static_cast<double>(file_bytes(dir / "weir.db")) / static_cast<double>(n));
  return 0;
}

void report(std::string_view name, std::vector<double> v, std::size_t rows) {
  if (v.empty()) return;
  std::ranges::sort(v);
  fmt::print("{:<44} n {:>5} rows {:>6}  p50 {:>8.3f}  p99 {:>8.3f}  max {:>8.3f} ms\n", name, v.size(), rows, v[v.size() / 2] * 1e3,
             v[v.size() * 99 / 100] * 1e3, v.back() * 1e3);
}

int run(const std::filesystem::path& dir, const Generator& generator, double seconds, std::string_view only) {
  { const auto warm = read_file(dir / "weir.db", std::size_t{1} << 40); }  // the database in the page cache
  double t = now();
  auto store = ok(Store::open(dir));
  const double opened = now() - t;
  const UserId user = ok(store->reader()->user_named("reader")).id;
  const auto subscriptions = ok(store->reader()->subscriptions(user));
  std::vector<SourceId> ids = ok(store->reader()->sources_of(user));
  std::int64_t unread = 0, total = 0;
  for (const auto& s : subscriptions) unread += s.unread, total += s.total;
  fmt::print("open {:.1f} ms; {} items, {:.1f} % unread, {} starred\n", opened * 1e3, total, 100.0 * static_cast<double>(unread) / static_cast<double>(total),
             ok(store->reader()->starred_count(user)));

  std::jthread writer([&](std::stop_token stop) { store->run_writer(stop); });
  std::vector<double> commits, indexing;
  std::atomic<bool> stop = false;
  const Time began = epoch + std::chrono::seconds(30) * total;
  std::jthread stream([&] {  // 350 items a second: every 100 ms 35 of them, each source's in a job of its own, as the fetcher hands them over
    std::uint64_t i = static_cast<std::uint64_t>(total) + 1'000'000'000;
    for (int tick = 0; !stop; ++tick) {
      const double begun = now();
      const auto batch = fetches(generator, ids, i, i + 35, began + std::chrono::milliseconds(100) * tick);
      i += 35;
      const double c = now();
      std::atomic<std::size_t> left = batch.size();
      for (const auto& [s, outcome] : batch)
        store->submit(
            [&outcome](Writer& w) -> Status {
              TRY(w.commit_fetch(outcome));
              return {};
            },
            [&](Status status) {
              ok(std::move(status));
              --left;
            });
      while (left > 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
      commits.push_back(now() - c);
      if (tick % 5 == 4) {
        const double x = now();
        while (ok(store->write([](Writer& w) { return w.index_search(); })) > 0) {}
        indexing.push_back(now() - x);
      }
      std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0.0, 0.1 - (now() - begun))));
    }
  });

  Random random{5};
  std::vector<std::string> deep;  // cursors all over the archive
  {
    ItemQuery query{.state = ReadState::unread, .limit = 50'000};
    for (int k = 0; k < 40; ++k) {
      auto page = ok(store->reader()->ids(user, query));
      if (page.cursor.empty()) break;
      deep.push_back(query.cursor = page.cursor);
    }
  }
  const auto list = [&](std::string name, std::function<ItemQuery()> query, bool refs = false) {
    if (name.find(only) == std::string::npos) return;
    std::vector<double> times;
    std::size_t rows = 0;
    for (const double until = now() + seconds; now() < until;) {
      const ItemQuery q = query();
      const double begun = now();
      if (refs) rows = ok(store->reader()->ids(user, q)).items.size();
      else rows = ok(store->reader()->items(user, q)).items.size();
      times.push_back(now() - begun);
    }
    report(name, std::move(times), rows);
  };
  const auto any_source = [&] { return ids[random.below(ids.size())]; };
  list("newest 50 unread", [] { return ItemQuery{.state = ReadState::unread}; });
  list("newest 50 unread, no bodies", [] { return ItemQuery{.state = ReadState::unread, .bodies = false}; });
  list("newest 100 of all", [] { return ItemQuery{.limit = 100}; });
  list("a deep page, 50 unread", [&] { return ItemQuery{.state = ReadState::unread, .cursor = deep.empty() ? "" : deep[random.below(deep.size())]}; });
  list("one source, 50 unread", [&] { return ItemQuery{.state = ReadState::unread, .source = any_source()}; });
  list("one folder, 50 unread", [&] { return ItemQuery{.state = ReadState::unread, .folder = fmt::format("Folder {}", random.below(20))}; });
  list("newest 50 read (one in twenty is)", [] { return ItemQuery{.state = ReadState::read}; });
  list("starred 50", [] { return ItemQuery{.state = ReadState::starred}; });
  list("10,000 unread ids", [] { return ItemQuery{.state = ReadState::unread, .limit = 10'000}; }, true);
  for (const std::string q : {"people", "government", "market bank", "\"prime minister\"", "\"the first time\"", "中国", "公司", "北京 房价", "人工智能", "能",
                              "的", "karomi", "govern*"})
    list(fmt::format("search {}", q), [&] { return ItemQuery{.text = q, .limit = 20}; });
  for (const std::string q : {"people", "market bank", "\"prime minister\"", "中国", "能"})
    list(fmt::format("best {}", q), [&] { return ItemQuery{.order = Order::relevance, .text = q, .limit = 20}; });
  if (only.empty()) {
    std::vector<double> times;
    std::size_t rows = 0;
    for (const double until = now() + seconds; now() < until;) {
      t = now();
      rows = ok(store->reader()->subscriptions(user)).size();
      times.push_back(now() - t);
    }
    report("subscriptions with counters", std::move(times), rows);
  }
  if (only.empty()) {
    std::vector<double> one, source, folder;
    for (int k = 0; k < 20; ++k) {
      const ItemId id{1 + static_cast<std::int64_t>(random.below(static_cast<std::size_t>(total)))};
      t = now();
      ok(store->write([&](Writer& w) { return w.mark(user, std::span(&id, 1), store::Mark::read); }));
      one.push_back(now() - t);
      t = now();
      ok(store->write([&](Writer& w) { return w.mark_all_read(user, {.source = any_source()}); }));
      source.push_back(now() - t);
    }
    t = now();
    ok(store->write([&](Writer& w) { return w.mark_all_read(user, {.folder = "Folder 3"}); }));
    folder.push_back(now() - t);
    report("mark one read", one, 1);
    report("mark all of a source", source, 0);
    report("mark all of a folder", folder, 0);
    t = now();
    const auto before = ok(store->write([&](Writer& w) { return w.mark_all_read(user, {.before = began - std::chrono::hours(24)}); }));
    report("mark all before yesterday", {now() - t}, static_cast<std::size_t>(before));
    t = now();
    ok(store->write([&](Writer& w) { return w.mark_all_read(user, {}); }));
    report("mark all", {now() - t}, 0);
    list("newest 50 unread, nearly all are read", [] { return ItemQuery{.state = ReadState::unread}; });
  }
  stop = true;
  stream.join();
  report("commits of 35 items, while all this ran", std::move(commits), 35);
  report("indexing of 175 items, while all this ran", std::move(indexing), 175);
  const auto stats = store->writer_stats();
  fmt::print("writer: {} jobs in {} commits, the longest {:.1f} ms; {} checkpoints, the longest {:.1f} ms\n", stats.jobs, stats.commits,
             static_cast<double>(stats.longest_commit.count()) / 1e3, stats.checkpoints, static_cast<double>(stats.longest_checkpoint.count()) / 1e3);
  writer.request_stop();
  writer.join();
  return 0;
}

// One write of whatever size, while somebody else marks an item every 2 ms.
void large(Store& store, std::string_view name, UserId user, ItemId item, const std::function<void()>& write) {
  std::vector<double> waits;
  std::atomic<bool> over = false;
  std::jthread other([&] {
    for (bool read = true; !over; read = !read) {
      const double t = now();
      ok(store.write([&](Writer& w) { return w.mark(user, std::span(&item, 1), read ? store::Mark::read : store::Mark::unread); }));
      waits.push_back(now() - t);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  const double t = now();
  write();
  const double took = now() - t;
  over = true;
  other.join();
  std::ranges::sort(waits);
  fmt::print("{:<60} {:>8.1f} ms; others wait p50 {:>6.1f}, at most {:>6.1f} ms\n", name, took * 1e3, waits[waits.size() / 2] * 1e3, waits.back() * 1e3);
}

int commits(const std::filesystem::path& dir, const Generator& generator) {
  auto store = ok(Store::open(dir));
  std::jthread writer([&](std::stop_token stop) { store->run_writer(stop); });
  const auto user_of = [&](std::string_view name) {
    const auto known = store->reader()->user_named(name);
    return known ? known->id : ok(store->write([&](Writer& w) { return w.add_user(name, epoch); }));
  };
  const UserId ada = user_of("ada"), bo = user_of("bo");
  const std::string url = fmt::format("https://large.example/{:x}", std::chrono::steady_clock::now().time_since_epoch().count());
  const SourceId feed = ok(store->write([&](Writer& w) { return w.add_feed(url, epoch); })),
                 push = ok(store->write([&](Writer& w) { return w.add_push(ada, "pushes"); }));
  ok(store->write([&](Writer& w) { return w.subscribe(ada, feed, "", ""); }));
  const auto items = [&](std::uint64_t from, std::size_t n, Time at) {
    store::FetchOutcome out{.source = push, .now = at};
    for (std::uint64_t i = from; i < from + n; ++i) {
      out.items.push_back(generator.make(i, i % 10));
      out.items.back().item.id = fmt::format("{}/{}", url, i);
    }
    return out;
  };
  const ItemId one = ok(store->push(items(1, 1, epoch))).stored_ids[0];
  for (int k = 0; k < 3; ++k) {
    auto batch = items(10'000 * static_cast<std::uint64_t>(k + 1), 5'000, epoch);
    large(*store, "a push of 5,000 items, new", ada, one, [&] { ok(store->push(batch)); });
    large(*store, "the same again: duplicates", ada, one, [&] { ok(store->push(std::move(batch))); });
  }
  auto fetch = items(100'000, 5'000, epoch);
  fetch.source = feed;
  large(*store, "a fetch of 5,000 items, one transaction", ada, one, [&] { ok(store->write([&](Writer& w) { return w.commit_fetch(fetch); })); });
  std::vector<ItemId> all;
  for (std::uint64_t k = 0; k < 95'000 / 50; ++k) {  // 50 at a time, 1,900 different hours
    auto batch = items(200'000 + k * 50, 50, epoch + std::chrono::hours(1 + static_cast<int>(k)));
    batch.source = feed;
    ok(store->write([&](Writer& w) { return w.commit_fetch(batch); }));
  }
  ItemQuery query{.source = feed, .limit = 50'000, .bodies = false};
  do {
    auto page = ok(store->reader()->ids(ada, query));
    for (const auto& item : page.items) all.push_back(item.id);
    query.cursor = page.cursor;
  } while (!query.cursor.empty());
  const std::string n = fmt::format("{} items", all.size());
  large(*store, "subscribing to a source of " + n, ada, one, [&] { ok(store->write([&](Writer& w) { return w.subscribe(bo, feed, "", ""); })); });
  large(*store, "leaving it, nothing starred", ada, one, [&] { ok(store->write([&](Writer& w) { return w.unsubscribe(bo, feed); })); });
  ok(store->write([&](Writer& w) { return w.subscribe(bo, feed, "", ""); }));
  for (std::size_t i = 0; i < all.size(); i += 1'000)
    ok(store->write([&](Writer& w) { return w.mark(bo, std::span(all).subspan(i, std::min<std::size_t>(1'000, all.size() - i)), store::Mark::star); }));
  large(*store, "leaving it, all starred", ada, one, [&] { ok(store->write([&](Writer& w) { return w.unsubscribe(bo, feed); })); });
  large(*store, "its stars, piece by piece afterwards", ada, one, [&] {
    while (ok(store->write([](Writer& w) { return w.forget_stars(); }))) {}
  });
  fmt::print("the longest commit of all {:.1f} ms\n", static_cast<double>(store->writer_stats().longest_commit.count()) / 1e3);
  writer.request_stop();
  writer.join();
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  using namespace weir;
  const std::string_view mode = argc > 3 ? argv[1] : "";
  if (mode == "load" && argc == 5) return load(argv[2], Generator(argv[3]), std::strtoull(argv[4], nullptr, 10));
  if (mode == "run" && argc <= 6) return run(argv[2], Generator(argv[3]), argc >= 5 ? std::strtod(argv[4], nullptr) : 1, argc == 6 ? argv[5] : "");
  if (mode == "commits" && argc == 4) return commits(argv[2], Generator(argv[3]));
  return std::fputs("usage: weir_store_bench load DIR TEXT N | run DIR TEXT [SECONDS [WORD]] | commits DIR TEXT\n", stderr), 2;
}
