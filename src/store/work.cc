// Work that items still need, vectors, the word index, retention.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/json.h"
#include "store/shared.h"

namespace weir::store {
namespace {

constexpr std::int64_t default_keep_days = 365;

Result<std::int64_t> model_id(Connection& db, const ModelId& model) {
  if (const auto known = TRY(db.integer("SELECT id FROM models WHERE name=?", model))) return *known;
  return TRY(db.integer("INSERT INTO models(name) VALUES(?) RETURNING id", model)).value_or(0);
}

}  // namespace

// ---- work ---------------------------------------------------------------------------------------------------------------------------------------

Result<std::vector<Work>> Writer::lease(Stage stage, std::size_t limit, Time now, Duration lease, std::int32_t max_attempts) {
  std::vector<Work> out, spent;
  {
    Query query(*db_, "SELECT item, version, attempts FROM outbox WHERE stage=? AND ready<=? ORDER BY item DESC LIMIT ?", static_cast<int>(stage), now,
                static_cast<std::int64_t>(limit));
    while (TRY(query.next())) {
      const Work work{.item = ItemId{query.integer(0)}, .version = query.integer(1), .attempts = static_cast<std::int32_t>(query.integer(2)) + 1};
      (work.attempts > max_attempts ? spent : out).push_back(work);
    }
  }
  for (const Work& work : out)
    TRY(db_->run("UPDATE outbox SET attempts=?3, ready=?4 WHERE stage=?1 AND item=?2", static_cast<int>(stage), work.item, work.attempts, now + lease));
  for (const Work& work : spent) {
    TRY(
        db_->run("INSERT OR REPLACE INTO dead(stage, item, version, attempts, error) VALUES(?, ?, ?, ?, "
                 "coalesce((SELECT value FROM meta WHERE key='error/'||?1||'/'||?2), 'its worker did not come back'))",
                 static_cast<int>(stage), work.item, work.version, work.attempts - 1));
    TRY(db_->run("DELETE FROM meta WHERE key='error/'||?1||'/'||?2", static_cast<int>(stage), work.item));
    TRY(db_->run("DELETE FROM outbox WHERE stage=? AND item=?", static_cast<int>(stage), work.item));
  }
  const auto n = static_cast<std::int64_t>(spent.size());
  TRY(add_count(*db_, queued_name(stage), -n));
  TRY(add_count(*db_, dead_name(stage), n));
  return out;
}

Status Writer::complete(Stage stage, std::span<const Work> done) {
  std::int64_t n = 0;
  for (const Work& work : done) {
    TRY(db_->run("DELETE FROM outbox WHERE stage=? AND item=? AND version=?", static_cast<int>(stage), work.item, work.version));
    n += db_->changes();
    if (work.attempts > 1) TRY(db_->run("DELETE FROM meta WHERE key='error/'||?1||'/'||?2", static_cast<int>(stage), work.item));
  }
  return add_count(*db_, queued_name(stage), -n);
}

Status Writer::give_back(Stage stage, std::span<const Work> failed, std::string_view error, Time again_at) {
  for (const Work& work : failed) {
    TRY(db_->run("UPDATE outbox SET ready=?4 WHERE stage=?1 AND item=?2 AND version=?3", static_cast<int>(stage), work.item, work.version, again_at));
    if (db_->changes() == 1)
      TRY(db_->run("INSERT OR REPLACE INTO meta(key, value) VALUES('error/'||?1||'/'||?2, ?3)", static_cast<int>(stage), work.item, error));
  }
  return {};
}

Result<WorkCounts> Reader::work(Stage stage) {
  Connection& db = *TRY(this->db());
  return WorkCounts{.queued = TRY(count(db, queued_name(stage))), .dead = TRY(count(db, dead_name(stage)))};
}

Result<std::vector<StoredItem>> Reader::work_items(std::span<const ItemId> items) {
  Connection& db = *TRY(this->db());
  const auto snapshot = TRY(Snapshot::take(db));
  std::vector<StoredItem> out;
  Query query(db, "SELECT " WEIR_ITEM_COLUMNS " FROM items INDEXED BY items_id WHERE id=?");
  for (const ItemId id : items) {
    query.again(id);
    if (!TRY(query.next())) continue;
    out.push_back(TRY(read_item(query)));
    TRY(read_body(db, *shared_, query.integer(0), out.back().item));
  }
  return out;
}

// ---- vectors ------------------------------------------------------------------------------------------------------------------------------------

Status Writer::put_vectors(const ModelId& model, std::span<const std::pair<ItemId, std::string>> vectors) {
  const std::int64_t id = TRY(model_id(*db_, model));
  std::int64_t fresh = 0;
  for (const auto& [item, bytes] : vectors) {
    if (!TRY(db_->integer("SELECT 1 FROM items INDEXED BY items_id WHERE id=?", item))) continue;  // gone meanwhile
    TRY(db_->run("INSERT OR IGNORE INTO vectors(model, item, bytes) VALUES(?, ?, ?)", id, item, Blob{bytes}));
    if (db_->changes() == 1) ++fresh;
    else TRY(db_->run("UPDATE vectors SET bytes=?3 WHERE model=?1 AND item=?2", id, item, Blob{bytes}));
  }
  return db_->run("UPDATE models SET n=n+?2 WHERE id=?1", id, fresh);
}

Result<std::vector<std::optional<std::string>>> Reader::vectors(const ModelId& model, std::span<const ItemId> items) {
  Connection& db = *TRY(this->db());
  const auto snapshot = TRY(Snapshot::take(db));
  std::vector<std::optional<std::string>> out(items.size());
  const auto id = TRY(db.integer("SELECT id FROM models WHERE name=?", model));
  if (!id) return out;
  Query query(db, "SELECT bytes FROM vectors WHERE model=? AND item=?");
  for (std::size_t i = 0; i < items.size(); ++i) {
    query.again(*id, items[i]);
    if (TRY(query.next())) out[i] = std::string(query.blob(0));
  }
  return out;
}

Result<std::int64_t> Reader::vector_count(const ModelId& model) { return TRY(TRY(db())->integer("SELECT n FROM models WHERE name=?", model)).value_or(0); }

Result<std::optional<ItemId>> Writer::queue_missing_vectors(const ModelId& model, std::optional<ItemId> before, std::size_t limit) {
  const std::int64_t id = TRY(model_id(*db_, model));
  std::vector<std::pair<ItemId, std::int64_t>> missing;
  std::optional<ItemId> last;
  std::size_t seen = 0;
  {
    Query query(*db_,
                "SELECT i.id, coalesce(i.revision, 0), v.item IS NULL FROM items i INDEXED BY items_id LEFT JOIN vectors v ON v.model=?1 AND v.item=i.id "
                "WHERE i.id<?2 ORDER BY i.id DESC LIMIT ?3",
                id, before ? before->value : INT64_MAX, static_cast<std::int64_t>(limit));
    for (; TRY(query.next()); ++seen) {
      last = ItemId{query.integer(0)};
      if (query.integer(2) != 0) missing.emplace_back(*last, query.integer(1));
    }
  }
  for (const auto& [item, version] : missing)
    if (!TRY(db_->integer("SELECT 1 FROM outbox WHERE stage=? AND item=?", static_cast<int>(Stage::encode), item)))
      TRY(queue_work(*db_, Stage::encode, item, version));
  return seen == limit ? last : std::nullopt;
}

Result<bool> Writer::forget_vectors_but(const ModelId& model, std::size_t limit) {
  const auto other = TRY(db_->integer("SELECT id FROM models WHERE name<>? LIMIT 1", model));
  if (!other) return false;
  TRY(db_->run("DELETE FROM vectors WHERE model=?1 AND item IN (SELECT item FROM vectors WHERE model=?1 LIMIT ?2)", *other, static_cast<std::int64_t>(limit)));
  const std::int64_t gone = db_->changes();
  TRY(db_->run("UPDATE models SET n=n-?2 WHERE id=?1", *other, gone));
  if (gone == 0) TRY(db_->run("DELETE FROM models WHERE id=?", *other));
  return true;
}

// ---- words --------------------------------------------------------------------------------------------------------------------------------------

namespace {

using Steady = std::chrono::steady_clock;

// Merges the index's segments by a piece of about 64 pages (5 ms). False: there is nothing to merge.
Result<bool> merge_piece(Connection& db, const char* sql) {
  const auto before = sqlite3_total_changes64(db.handle());
  TRY(db.run(sql));
  return sqlite3_total_changes64(db.handle()) - before >= 2;
}

Status merge_words(Connection& db, Steady::time_point stop) {
  for (const char* sql : {"INSERT INTO f(f, rank) VALUES('merge', 64)", "INSERT INTO ft(ft, rank) VALUES('merge', 64)"})
    while (TRY(merge_piece(db, sql)))
      if (Steady::now() >= stop) return {};
  return {};
}

Status index_item(Connection& db, Shared& shared, Query& row, bool again) {
  const std::int64_t place = row.integer(0);
  StoredItem stored = TRY(read_item(row));
  TRY(read_body(db, shared, place, stored.item));
  if (again) {
    TRY(db.run("DELETE FROM ft WHERE rowid=?", place));
    TRY(db.run("DELETE FROM f WHERE rowid=?", place));
  }
  TRY(db.run("INSERT INTO ft(rowid, title) VALUES(?, ?)", place, stored.item.title));
  return db.run("INSERT INTO f(rowid, body) VALUES(?, ?)", place, plain_text(stored.item));
}

}  // namespace

// Half of the budget for items, half for merging: so merging keeps up with any load, and no commit is longer than the budget and a flush.
Result<std::size_t> Writer::index_search(std::size_t limit, Duration budget) {
  const auto begun = Steady::now();
  std::vector<Work> batch;
  {
    Query query(*db_, "SELECT item, version FROM outbox WHERE stage=? ORDER BY item DESC LIMIT ?", static_cast<int>(Stage::search),
                static_cast<std::int64_t>(limit));
    while (TRY(query.next())) batch.push_back({.item = ItemId{query.integer(0)}, .version = query.integer(1)});
  }
  std::ranges::reverse(batch);  // rising rowids are the cheapest for the index
  std::size_t n = 0;
  Query row(*db_, "SELECT " WEIR_ITEM_COLUMNS " FROM items INDEXED BY items_id WHERE id=?");
  for (; n < batch.size() && (n == 0 || Steady::now() < begun + budget / 2); ++n) {
    row.again(batch[n].item);
    if (TRY(row.next())) TRY(index_item(*db_, *shared_, row, batch[n].version > 0));
  }
  batch.resize(n);
  TRY(complete(Stage::search, batch));
  TRY(merge_words(*db_, begun + budget));
  return n;
}

// ---- retention ----------------------------------------------------------------------------------------------------------------------------------

namespace {

struct Rule {
  UserId user;
  SourceId source;
  std::int64_t keep = 0, keep_starred = 0, purged = -1;
};  // days, 0: for ever

// What is to be looked at: readers' rules, a subscription's own going before. Also of those who have no item of a source any more: when another reader who
// kept some goes, their rule takes these.
Result<std::vector<Rule>> rules(Connection& db) {
  std::vector<Rule> out;
  Query query(db, "SELECT u.id, s.source, s.keep, s.purged, u.settings FROM users u JOIN subscriptions s ON s.user=u.id ORDER BY u.id, s.source");
  json::object settings;
  UserId last;
  while (TRY(query.next())) {
    Rule rule{.user = UserId{query.integer(0)}, .source = SourceId{query.integer(1)}, .purged = query.integer(3)};
    if (rule.user != last) {
      const auto parsed = parse_json(query.text(4));
      settings = parsed && parsed->is_object() ? parsed->get_object() : json::object{};
      last = rule.user;
    }
    rule.keep = query.null(2) ? find_int(settings, "keep_days").value_or(default_keep_days) : query.integer(2);
    rule.keep_starred = find_int(settings, "keep_starred_days").value_or(0);
    out.push_back(rule);
  }
  return out;
}

// Takes out of the reader's box what is older than the rule, at most `limit`; items that are in no box any more go for good.
class Purge {
 public:
  Purge(Connection& db, Shared& shared, Time now) : db_(db), shared_(shared), now_(now) {}

  Result<std::size_t> apply(const Rule& rule, std::size_t limit) {
    if (rule.keep <= 0) return 0;
    std::vector<std::pair<std::int64_t, bool>> gone;  // place, starred
    std::int64_t reached = rule.purged, unread = 0, members = 0, stars = 0;
    bool held = false;  // a star that will go one day holds the mark back: it must be seen again
    BoxEdit box(db_, rule.user);
    {
      Query items(db_,
                  "SELECT i.place, i.received, EXISTS(SELECT 1 FROM starred WHERE user=?1 AND place=i.place) FROM items i INDEXED BY items_source "
                  "WHERE i.source=?2 AND i.place>?3 ORDER BY i.place",
                  rule.user, rule.source, rule.purged);
      for (std::size_t seen = 0; gone.size() < limit && seen < limit * 10 && TRY(items.next()); ++seen) {
        const std::int64_t place = items.integer(0);
        const bool starred = items.integer(2) != 0;
        if (items.time(1) + std::chrono::days(rule.keep) > now_) break;  // later places came in later
        const bool kept = starred && (rule.keep_starred <= 0 || items.time(1) + std::chrono::days(rule.keep_starred) > now_);
        held = held || (kept && rule.keep_starred > 0);
        if (!held) reached = place;
        if (!kept) gone.emplace_back(place, starred);
      }
    }
    for (const auto& [place, starred] : gone) {
      Chunk* chunk = TRY(box.chunk(chunk_of(place)));
      members += chunk->member.test(slot_of(place)) ? 1 : 0;
      unread += chunk->unread.test(slot_of(place)) ? 1 : 0;
      chunk->member.clear(slot_of(place));
      chunk->unread.clear(slot_of(place));
      if (starred) {
        TRY(db_.run("DELETE FROM starred WHERE user=? AND place=?", rule.user, place));
        ++stars;
      }
    }
    TRY(box.flush());
    for (const auto& [place, starred] : gone)
      if (!TRY(read_by_anybody(rule.source, place))) TRY(delete_item(db_, shared_, place));
    if (stars > 0) TRY(db_.run("UPDATE users SET starred=starred-?2 WHERE id=?1", rule.user, stars));
    if (reached != rule.purged || !gone.empty())
      TRY(db_.run("UPDATE subscriptions SET purged=?3, unread=unread-?4, total=total-?5, starred=starred-?6 WHERE user=?1 AND source=?2", rule.user,
                  rule.source, reached, unread, members, stars));
    return std::max<std::size_t>(gone.size(), reached != rule.purged ? 1 : 0);
  }

  // Items of sources that nobody reads, then the sources.
  Result<std::size_t> orphans(std::size_t limit) {
    const auto source =
        TRY(db_.integer("SELECT id FROM sources s WHERE (next IS NULL OR next<?) AND NOT EXISTS(SELECT 1 FROM subscriptions WHERE source=s.id) LIMIT 1",
                        now_ - std::chrono::days(1)));
    if (!source) return 0;
    std::vector<std::int64_t> places;
    {
      Query items(db_, "SELECT place FROM items INDEXED BY items_source WHERE source=? LIMIT ?", *source, static_cast<std::int64_t>(limit));
      while (TRY(items.next())) places.push_back(items.integer(0));
    }
    for (const std::int64_t place : places) TRY(delete_item(db_, shared_, place));
    if (!places.empty()) return places.size();
    TRY(db_.run("DELETE FROM keys WHERE source=?1 AND key IN (SELECT key FROM keys WHERE source=?1 LIMIT ?2)", *source, static_cast<std::int64_t>(limit * 10)));
    if (db_.changes() > 0) return static_cast<std::size_t>(db_.changes());
    for (const char* sql :
         {"DELETE FROM arrivals WHERE source=?", "DELETE FROM icons WHERE source=?", "DELETE FROM tokens WHERE source=?", "DELETE FROM sources WHERE id=?"})
      TRY(db_.run(sql, *source));
    return 1;
  }

 private:
  Result<bool> read_by_anybody(SourceId source, std::int64_t place) {
    Query readers(db_, "SELECT user FROM subscriptions WHERE source=?", source);
    while (TRY(readers.next())) {
      Box box(db_, UserId{readers.integer(0)});
      if (TRY(box.member(place))) return true;
    }
    return false;
  }

  Connection& db_;
  Shared& shared_;
  Time now_;
};

}  // namespace

Result<bool> Writer::purge(Time now, std::size_t limit) {
  CHECK(limit > 0);
  if (TRY(forget_stars())) return true;  // first: a place that is given out again must not find an old star
  Purge purge(*db_, *shared_, now);
  std::size_t left = limit;
  bool more = false;
  for (const Rule& rule : TRY(rules(*db_))) {
    const std::size_t did = TRY(purge.apply(rule, left));
    more = more || did > 0;
    left -= std::min(left, did);
    if (left == 0) return true;
  }
  return TRY(purge.orphans(left)) > 0 || more;
}

// ---- small states -------------------------------------------------------------------------------------------------------------------------------

Status Writer::set_value(std::string_view key, std::string_view value) {
  const std::string name = fmt::format("value/{}", key);
  if (value.empty()) return db_->run("DELETE FROM meta WHERE key=?", name);
  return db_->run("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", name, value);
}

Result<std::optional<std::string>> Reader::value(std::string_view key) {
  return TRY(db())->text("SELECT value FROM meta WHERE key=?", fmt::format("value/{}", key));
}

Result<std::int64_t> Writer::add_dictionary(int script, std::string_view bytes) {
  const auto id = std::max<std::int64_t>(scripts, TRY(db_->integer("SELECT max(id)+1 FROM dicts")).value_or(scripts));
  TRY(db_->run("INSERT INTO dicts(id, script, z) VALUES(?, ?, ?)", id, script, Blob{bytes}));
  return id;
}

Status Writer::set_training_mark(std::int64_t next) { return db_->run("INSERT OR REPLACE INTO meta(key, value) VALUES('train_at', ?)", next); }

Result<StoreSizes> Reader::sizes() {
  Connection& db = *TRY(this->db());
  const auto snapshot = TRY(Snapshot::take(db));
  StoreSizes out;
  out.items = TRY(count(db, "items"));
  out.sources = TRY(db.integer("SELECT count(*) FROM sources")).value_or(0);
  out.users = TRY(db.integer("SELECT count(*) FROM users")).value_or(0);
  const auto page = TRY(db.integer("PRAGMA page_size")).value_or(0);
  out.database_bytes = page * TRY(db.integer("PRAGMA page_count")).value_or(0);
  out.free_bytes = page * TRY(db.integer("PRAGMA freelist_count")).value_or(0);
  std::error_code none;
  const auto wal = std::filesystem::file_size(shared_->file.string() + "-wal", none);
  out.wal_bytes = none ? 0 : static_cast<std::int64_t>(wal);
  out.search_queued = TRY(count(db, queued_name(Stage::search)));
  out.encode_queued = TRY(count(db, queued_name(Stage::encode)));
  {
    Query newest(db, "SELECT received FROM items ORDER BY place DESC LIMIT 1");
    if (TRY(newest.next())) out.newest = newest.time(0);
  }
  for (const Stage stage : stages) out.dead += TRY(count(db, dead_name(stage)));
  out.schema = static_cast<std::int32_t>(TRY(db.integer("PRAGMA user_version")).value_or(0));
  return out;
}

}  // namespace weir::store
