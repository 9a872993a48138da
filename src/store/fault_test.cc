// Every I/O call of the database may fail: nothing acknowledged is lost, nothing is invented, nothing is there twice, and it goes on when the disk does.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <set>

#include "store/fault_vfs.h"
#include "store/schema.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace weir::store {
namespace {

using fault_vfs::Kind;
using fault_vfs::Then;

const Time start = *parse_rfc3339("2026-11-24T03:00:00Z");

// Thousands of small stores: the faults are ours, the disk need not be real.
std::filesystem::path scratch(std::string_view name) {
  const std::filesystem::path memory("/dev/shm");
  return (std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path()) / fmt::format("weir-fault-{}-{}", name, ::getpid());
}

// What a load generator knows, outside the fault's reach.
struct Ledger {
  std::set<std::string> sent, acknowledged;
  std::set<std::int64_t> read;    // acknowledged as read
  int etag = -1, etag_sent = -1;  // of the last acknowledged fetch
};

class Scenario {
 public:
  Scenario(std::filesystem::path dir, int batches, int size) : dir_(std::move(dir)), batches_(batches), size_(size) {}

  // Each step may fail; the ledger keeps what was answered with success.
  void run(Store& store, Ledger& ledger, int from = 0) {
    for (int b = from; b < from + batches_; ++b) {
      FetchOutcome outcome{
          .source = source_, .now = start + std::chrono::minutes(b), .items = {}, .etag = std::to_string(b), .next_at = start + std::chrono::hours(b)};
      for (int i = 0; i < size_; ++i) {
        NewItem item;
        item.item.id = fmt::format("{}-{}", b, i);
        item.item.title = fmt::format("title w{}x{}", b, i);
        item.item.content_html = "<p>" + std::string(2'000, static_cast<char>('a' + i % 26)) + "</p>";
        ledger.sent.insert(item.item.id);
        outcome.items.push_back(std::move(item));
      }
      ledger.etag_sent = b;
      if (const auto stored = store.write([&](Writer& w) { return w.commit_fetch(outcome); })) {
        for (const auto& item : outcome.items) ledger.acknowledged.insert(item.item.id);
        ledger.etag = b;
        if (!stored->stored_ids.empty()) {
          const ItemId id = stored->stored_ids.front();
          if (store.write([&](Writer& w) { return w.mark(user_, std::span(&id, 1), Mark::read); })) ledger.read.insert(id.value);
        }
      }
      (void)store.write([](Writer& w) { return w.index_search(); });
      (void)store.reader()->items(user_, {.limit = 5});
      if (b % 3 == 2) (void)store.checkpoint();
    }
  }

  Status make(Store& store) {
    return store.write([&](Writer& w) -> Status {
      user_ = TRY(w.add_user("reader", start));
      source_ = TRY(w.add_feed("https://a.example/feed", start));
      return w.subscribe(user_, source_, "", "");
    });
  }

  // The oracle of reliability.md §1.3.
  void judge(Store& store, const Ledger& ledger) {
    ASSERT_TRUE(store.integrity_check());
    auto reader = store.reader();
    std::map<std::string, int> times;
    std::int64_t unread = 0, total = 0;
    ItemQuery query{.limit = 500};
    do {
      const auto page = reader->items(user_, query);
      ASSERT_TRUE(page) << page.error().text();
      for (const auto& item : page->items) {
        ++times[item.item.id];
        ++total;
        unread += item.read ? 0 : 1;
        if (ledger.read.contains(item.id.value)) { ASSERT_TRUE(item.read) << item.item.id; }
      }
      query.cursor = page->cursor;
    } while (!query.cursor.empty());
    for (const auto& id : ledger.acknowledged) ASSERT_EQ(times[id], 1) << id << " was acknowledged";
    int newest = -1;
    for (const auto& [id, n] : times) {
      ASSERT_EQ(n, n == 0 ? 0 : 1) << id;
      ASSERT_TRUE(n == 0 || ledger.sent.contains(id)) << id << " was invented";
      newest = std::max(newest, std::atoi(id.c_str()));
    }
    const auto subscription = reader->subscription(user_, source_);
    ASSERT_TRUE(subscription);
    ASSERT_EQ(subscription->unread, unread);
    ASSERT_EQ(subscription->total, total);
    ASSERT_EQ(reader->sizes()->items, total);
    ASSERT_EQ(subscription->source.etag, newest < 0 ? "" : std::to_string(newest));  // never an ETag without its items, nor items without it
    ASSERT_EQ(reader->work(Stage::encode)->queued, total);
    // The word index, brought up to date, finds each once.
    while (store.write([](Writer& w) { return w.index_search(); }).value_or(0) > 0) {}
    std::size_t found = 0;
    ItemQuery title{.text = "title", .limit = 500};
    do {
      const auto page = reader->items(user_, title);
      ASSERT_TRUE(page) << page.error().text();
      found += page->items.size();
      title.cursor = page->cursor;
    } while (!title.cursor.empty());
    ASSERT_EQ(found, static_cast<std::size_t>(total));
  }

  const std::filesystem::path& dir() const { return dir_; }
  int batches() const { return batches_; }

 private:
  std::filesystem::path dir_;
  int batches_, size_;
  UserId user_;
  SourceId source_;
};

// Call `n` of this kind fails. False: there is no call n any more.
bool fail_at(std::int64_t n, Kind kind, Then then, int batches, int size) {
  const auto dir = scratch("test");
  std::filesystem::remove_all(dir);
  const StoreOptions options{.vfs = fault_vfs::name()};
  Scenario scenario(dir, batches, size);
  Ledger ledger;
  bool fired = false;
  {
    auto made = Store::open(dir, options);
    EXPECT_TRUE(made) << made.error().text();
    EXPECT_TRUE(scenario.make(**made));
  }
  fault_vfs::arm(n, kind, then);
  if (auto store = Store::open(dir, options)) {
    scenario.run(**store, ledger);
    fired = fault_vfs::fired();
    fault_vfs::disarm();
    // The disk works again: so does the same store, without being opened anew.
    const auto before = ledger.acknowledged.size();
    scenario.run(**store, ledger, batches);
    EXPECT_EQ(ledger.acknowledged.size(), before + static_cast<std::size_t>(batches * size));
    scenario.judge(**store, ledger);
  } else {
    fired = fault_vfs::fired();
    EXPECT_TRUE(fired) << store.error().text();
    fault_vfs::disarm();
  }
  auto again = Store::open(dir, options);
  EXPECT_TRUE(again) << again.error().text();
  if (again) scenario.judge(**again, ledger);
  again = fail(Code::unavailable, "");
  std::filesystem::remove_all(dir);
  return fired;
}

class FaultTest : public ::testing::TestWithParam<std::pair<Kind, Then>> {};

TEST_P(FaultTest, AnyCallMayFail) {
  const auto [kind, then] = GetParam();
  // Every call of a small scenario (three fetches, marks, words, a checkpoint); with WEIR_LONG of a larger one.
  const bool whole = std::getenv("WEIR_LONG") != nullptr;
  const int batches = whole ? 10 : 3, size = whole ? 20 : 3;
  std::int64_t n = 1;
  for (; fail_at(n, kind, then, batches, size); ++n)
    if (HasFailure()) FAIL() << "call " << n;
  if (HasFailure()) FAIL() << "call " << n;
  EXPECT_GT(n, 6) << "the scenario has too few calls to fail";
  RecordProperty("calls", static_cast<int>(n - 1));
  printf("  each of %d calls failed\n", static_cast<int>(n - 1));
}

INSTANTIATE_TEST_SUITE_P(Disk, FaultTest,
                         ::testing::Values(std::pair{Kind::io, Then::works_again}, std::pair{Kind::io, Then::stays_broken},
                                           std::pair{Kind::full, Then::stays_broken}, std::pair{Kind::short_write, Then::works_again},
                                           std::pair{Kind::sync, Then::works_again}, std::pair{Kind::sync, Then::stays_broken}));

// Making the tables: a call that fails leaves a directory that the next start makes whole.
TEST(Fault, AnyCallOfTheFirstStartMayFail) {
  const auto dir = scratch("first");
  const StoreOptions options{.vfs = fault_vfs::name()};
  bool fired = true;
  int refused = 0;
  for (int n = 1; fired; n += std::getenv("WEIR_LONG") != nullptr || n < 10 ? 1 : 11) {
    std::filesystem::remove_all(dir);
    fault_vfs::arm(n, Kind::io, Then::works_again);
    const auto first = Store::open(dir, options);
    refused += first ? 0 : 1;
    fired = fault_vfs::fired();
    fault_vfs::disarm();
    if (first) continue;
    EXPECT_EQ(first.error().code, Code::io) << first.error().text();
    const auto second = Store::open(dir, options);
    ASSERT_TRUE(second) << "call " << n << ": " << second.error().text();
    EXPECT_TRUE((*second)->write([](Writer& w) { return w.add_user("reader", start); }));
    EXPECT_TRUE((*second)->integrity_check());
  }
  EXPECT_GT(refused, 5);
  std::filesystem::remove_all(dir);
}

// Carrying an older database over: a call that fails leaves the old one or the new one, whole, and the next start goes on from there.
TEST(Fault, AnyCallOfAMigrationMayFail) {
  const auto dir = scratch("migration");
  const StoreOptions options{.vfs = fault_vfs::name()};
  bool fired = true;
  int refused = 0;
  for (int n = 1; fired; ++n) {
    std::filesystem::remove_all(dir);
    std::filesystem::create_directories(dir);
    {
      const auto old = Connection::open(dir / "weir.db", Access::write);
      ASSERT_TRUE(old) << old.error().text();
      ASSERT_TRUE(migrate(**old, 1));
      ASSERT_TRUE(
          (*old)->script("INSERT INTO users(id, name, operator, created) VALUES(1, 'ada', 1, 0);"
                         "INSERT INTO signals(user, id, item, kind, at) VALUES(1, 's1', 1, 'open', 0), (1, 's2', 2, 'open', 0)"));
      ASSERT_TRUE((*old)->checkpoint(SQLITE_CHECKPOINT_TRUNCATE));
    }
    fault_vfs::arm(n, Kind::io, Then::works_again);
    auto first = Store::open(dir, options);
    refused += first ? 0 : 1;
    fired = fault_vfs::fired();
    fault_vfs::disarm();
    if (!first) {
      EXPECT_EQ(first.error().code, Code::io) << first.error().text();
      first = Store::open(dir, options);
    }
    ASSERT_TRUE(first) << "call " << n << ": " << first.error().text();
    EXPECT_EQ((*first)->reader()->signal_count(UserId{1}), 2) << "call " << n;
    EXPECT_TRUE((*first)->integrity_check()) << "call " << n;
  }
  EXPECT_GT(refused, 5);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace weir::store
