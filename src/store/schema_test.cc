// Databases of older schemas.
#include "store/schema.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <random>
#include <set>

#include "base/file.h"
#include "store/position.h"
#include "store/sqlite.h"
#include "store/temp_store.h"

namespace weir::store {
namespace {

// What a Weir of schema `version` would have left: two readers of one source, stars, signals, an item of each kind.
void make_old(const std::filesystem::path& dir, std::int32_t version) {
  std::filesystem::create_directories(dir);
  const auto db = OK(Connection::open(dir / "weir.db", Access::write));
  OK(migrate(*db, version));
  OK(
      db->script("INSERT INTO users(id, name, operator, created, starred) VALUES(1, 'ada', 1, 0, 2), (2, 'bo', 0, 0, 0);"
                 "INSERT INTO sources(id, kind, url, etag, begun) VALUES(1, 0, 'https://a.example/', 'tag', 1), (2, 0, 'https://b.example/', '', 1);"
                 "INSERT INTO subscriptions(user, source, folder, unread, total) VALUES(1, 1, 'x', 2, 2), (1, 2, '', 0, 1), (2, 1, '', 0, 2);"
                 "INSERT INTO items(place, id, source, received, content, title, guid) VALUES(4096, 1, 1, 0, 0, 'one', 'a'), (4097, 2, 1, 0, 0, 'two', 'b'), "
                 "(4098, 3, 2, 0, 0, 'three', 'c');"
                 "INSERT INTO box(user, chunk, member, unread) VALUES(1, 1, x'07', x'03'), (2, 1, x'03', NULL);"
                 "INSERT INTO starred(user, place) VALUES(1, 4096), (1, 4098);"
                 "INSERT INTO signals(user, id, item, kind, at) VALUES(1, 's1', 1, 'open', 0), (1, 's2', 2, 'open', 0), (2, 's1', 1, 'star', 0);"
                 "UPDATE counts SET n=3 WHERE name='items'; UPDATE meta SET value=4 WHERE key='next_id';"));
  if (version >= 3) OK(db->script("UPDATE users SET signals=3-id; UPDATE subscriptions SET starred=(user=1)"));  // what that Weir kept itself
  OK(db->checkpoint(SQLITE_CHECKPOINT_TRUNCATE));
}

TEST(Store, ADatabaseOfEveryOlderSchemaIsCarriedOver) {
  for (std::int32_t version = 1; version <= Store::schema_version(); ++version) {
    SCOPED_TRACE(version);
    const auto dir = fresh_dir("old");
    make_old(dir, version);
    {
      auto store = OK(Store::open(dir));
      EXPECT_EQ(OK(store->reader()->sizes()).schema, Store::schema_version());
      OK(store->integrity_check());
      const UserId ada{1}, bo{2};
      const auto items = OK(store->reader()->items(ada, {}));
      ASSERT_EQ(items.items.size(), 3u);
      EXPECT_EQ(items.items[2].item.title, "one");
      EXPECT_TRUE(items.items[2].starred && !items.items[2].read && items.items[0].read);
      EXPECT_EQ(OK(store->reader()->subscription(bo, SourceId{1})).source.etag, "tag");
      EXPECT_EQ(OK(store->reader()->signal_count(ada)), 2);
      EXPECT_EQ(OK(store->reader()->signal_count(bo)), 1);
      // Its stars are counted by source: leaving one takes that source's.
      OK(store->write([&](Writer& w) { return w.unsubscribe(ada, SourceId{1}); }));
      EXPECT_EQ(OK(store->reader()->starred_count(ada)), 1);
      EXPECT_EQ(OK(store->reader()->items(ada, {.state = ReadState::starred})).items.size(), 1u);
    }
    std::filesystem::remove_all(dir);
  }
}

// A step that was released is never edited: an edit would leave two kinds of databases with one number. A new step adds its hash here.
TEST(Store, ReleasedMigrationsStayAsTheyAre) {
  const auto dir = fresh_dir("schema");
  std::filesystem::create_directories(dir);
  std::vector<std::uint64_t> found;
  for (std::int32_t version = 1; version <= Store::schema_version(); ++version) {
    const auto db = OK(Connection::open(dir / fmt::format("{}.db", version), Access::write));
    OK(migrate(*db, version));
    std::string schema;
    Query query(*db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
    while (OK(query.next())) schema += query.string(0) + ";";
    found.push_back(xxh3(schema));
  }
  EXPECT_EQ(found, (std::vector<std::uint64_t>{0x10e73944863ecf98, 0x876b14fd27a669d, 0xdc4a174aa4a6347d, 0x505cf99d690623da}))
      << fmt::format("the newest: {:#x}", found.back());
  std::filesystem::remove_all(dir);
}

TEST(Position, BitsAreWhatASetIs) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    Bits bits;
    std::set<unsigned> set;
    for (int i = 0; i < round * 3; ++i) {
      const unsigned slot = random() % Bits::size;
      if (random() % 4 == 0) {
        bits.clear(slot);
        set.erase(slot);
      } else {
        bits.set(slot);
        set.insert(slot);
      }
    }
    const Bits copy(bits.bytes());
    std::vector<unsigned> up, down;
    for (unsigned s = copy.next(0); s < Bits::size; s = copy.next(s + 1)) up.push_back(s);
    for (int s = copy.previous(Bits::size - 1); s >= 0; s = s == 0 ? -1 : copy.previous(s - 1)) down.push_back(static_cast<unsigned>(s));
    EXPECT_TRUE(std::ranges::equal(up, set));
    std::ranges::reverse(down);
    EXPECT_EQ(up, down);
    EXPECT_EQ(copy.count(), static_cast<int>(set.size()));
    EXPECT_EQ(copy.none(), set.empty());
  }
}

}  // namespace
}  // namespace weir::store
