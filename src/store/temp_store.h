// For tests: a store in a folder of its own, and items to put into it.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <source_location>

#include "store/store.h"

namespace weir::store {

using std::chrono::hours;
using std::chrono::minutes;

inline std::filesystem::path fresh_dir(std::string_view name) {
  const auto dir = std::filesystem::temp_directory_path() / fmt::format("weir-store-test-{}-{}", ::getpid(), name);
  std::filesystem::remove_all(dir);
  return dir;
}

struct TempStore {
  std::filesystem::path dir;
  StoreOptions options;
  std::unique_ptr<Store> store;
  explicit TempStore(std::string_view name, StoreOptions chosen = {}) : dir(fresh_dir(name)), options(chosen) {
    auto opened = Store::open(dir, options);
    EXPECT_TRUE(opened) << opened.error().text();
    store = std::move(*opened);
  }
  ~TempStore() {
    store.reset();
    std::filesystem::remove_all(dir);
  }
  Store* operator->() { return store.get(); }
  void reopen() {
    store.reset();
    auto opened = Store::open(dir, options);
    ASSERT_TRUE(opened) << opened.error().text();
    store = std::move(*opened);
  }
  void index_all() {
    while (true) {
      const auto n = store->write([](Writer& w) { return w.index_search(); });
      ASSERT_TRUE(n) << n.error().text();
      if (*n == 0) break;
    }
  }
};

// The value, or the test ends with the error and its place.
template <class T>
T OK(Result<T> result, std::source_location at = std::source_location::current()) {
  if (!result) throw std::runtime_error(fmt::format("{}:{} {}", at.file_name(), at.line(), result.error().text()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline const Time start = *parse_rfc3339("2026-11-24T03:00:00Z");

inline NewItem item_of(std::string id, std::string title, std::string text, std::optional<Time> published = {}) {
  NewItem n;
  n.item.id = std::move(id);
  n.item.title = std::move(title);
  n.item.content_html = std::move(text);
  n.item.date_published = published;
  return n;
}

inline FetchOutcome outcome_of(SourceId source, Time now, std::vector<NewItem> items) {
  FetchOutcome o;
  o.source = source;
  o.now = now;
  o.items = std::move(items);
  o.next_at = now + hours(1);
  return o;
}

// A database whose last commit is still in its log, as a crash leaves it.
inline std::filesystem::path crashed(const char* name, const char* user) {
  const auto live = fresh_dir("live"), dir = fresh_dir(name);
  {
    auto store = OK(Store::open(live));
    OK(store->write([&](Writer& w) { return w.add_user(user, start); }));
    std::filesystem::create_directories(dir);
    for (const char* file : {"weir.db", "weir.db-wal"}) std::filesystem::copy_file(live / file, dir / file);
  }
  std::filesystem::remove_all(live);
  return dir;
}

inline std::string first_user(const std::filesystem::path& dir) {
  const auto store = OK(Store::open(dir));
  const auto users = OK(store->reader()->users());
  return users.empty() ? "" : users.front().name;
}

}  // namespace weir::store
