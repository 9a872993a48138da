// Sources and the readers' views of them.
#include <fmt/format.h>

#include "store/shared.h"

namespace weir::store {
namespace {

constexpr std::int64_t unread_at_first = 100;  // of a source that was here before its new reader

#define SOURCE_COLUMNS                                                                                                             \
  "s.id, s.kind, s.url, s.title, s.home, s.description, s.language, s.health, s.error, s.failures, s.fetched, s.changed, s.next, " \
  "s.etag, s.last_modified, s.ttl, s.skip_hours, s.skip_days, (SELECT type FROM icons WHERE source=s.id), s.problem"
#define SUBSCRIPTION_COLUMNS SOURCE_COLUMNS ", u.title, u.folder, u.keep, u.unread, u.total"

Source read_source(Query& row) {
  PollWishes wishes{.ttl = {}, .skip_hours = static_cast<std::uint32_t>(row.integer(16)), .skip_days = static_cast<std::uint8_t>(row.integer(17))};
  if (!row.null(15)) wishes.ttl = std::chrono::seconds(row.integer(15));
  return {.id = SourceId{row.integer(0)},
          .kind = row.integer(1) == 0 ? SourceKind::feed : SourceKind::push,
          .url = row.string(2),
          .title = row.string(3),
          .home_page_url = row.string(4),
          .description = row.string(5),
          .language = row.string(6),
          .icon_type = row.string(18),
          .health = static_cast<Health>(row.integer(7)),
          .error = row.string(8),
          .problem = row.string(19),
          .failures = static_cast<std::int32_t>(row.integer(9)),
          .fetched_at = row.maybe_time(10),
          .changed_at = row.maybe_time(11),
          .next_at = row.maybe_time(12),
          .etag = std::string(row.blob(13)),
          .last_modified = std::string(row.blob(14)),
          .wishes = wishes};
}

Subscription read_subscription(Query& row) {
  Subscription out{
      .source = read_source(row), .title = row.string(20), .folder = row.string(21), .keep_days = {}, .unread = row.integer(23), .total = row.integer(24)};
  if (!row.null(22)) out.keep_days = static_cast<std::int32_t>(row.integer(22));
  return out;
}

std::unexpected<Error> no_source(SourceId id) {
  return fail(Code::not_found, say("no_such_source", "there is no such source"), fmt::format("source {}", id.value));
}

}  // namespace

// ---- reading ------------------------------------------------------------------------------------------------------------------------------------

Result<Source> Reader::source(SourceId id) {
  Query query(*TRY(db()), "SELECT " SOURCE_COLUMNS " FROM sources s WHERE s.id=?", id);
  if (!TRY(query.next())) return no_source(id);
  return read_source(query);
}

Result<std::vector<Source>> Reader::due(Time now, std::size_t limit) {
  Connection& db = *TRY(this->db());
  std::vector<Source> out;
  const auto take = [&](const char* sql, Time than) -> Status {
    Query query(db, sql, than, static_cast<int>(Health::gone), static_cast<std::int64_t>(limit - out.size()));
    while (TRY(query.next())) out.push_back(read_source(query));
    return {};
  };
#define DUE(compared)                                                            \
  "SELECT " SOURCE_COLUMNS " FROM sources s WHERE s.next" compared               \
  "? AND s.health<>? AND EXISTS(SELECT 1 FROM subscriptions WHERE source=s.id) " \
  "ORDER BY s.next LIMIT ?"
  TRY(take(DUE("<="), now));
  if (now < Time::max() - farthest_next) TRY(take(DUE(">"), now + farthest_next));
#undef DUE
  return out;
}

Result<std::vector<Time>> Reader::published(SourceId source, std::size_t limit) {
  Query query(*TRY(db()), "SELECT published FROM items INDEXED BY items_source WHERE source=? ORDER BY place DESC LIMIT ?", source,
              static_cast<std::int64_t>(limit));
  std::vector<Time> out;
  while (TRY(query.next()))
    if (!query.null(0)) out.push_back(query.time(0));
  return out;
}

Result<std::optional<Time>> Reader::next_due() {
  Query query(*TRY(db()),
              "SELECT next FROM sources s WHERE next IS NOT NULL AND health<>? AND EXISTS(SELECT 1 FROM subscriptions WHERE source=s.id) ORDER BY next LIMIT 1",
              static_cast<int>(Health::gone));
  if (!TRY(query.next())) return std::nullopt;
  return query.time(0);
}

Result<std::optional<Icon>> Reader::icon(UserId user, SourceId id) {
  Connection& db = *TRY(this->db());
  if (!TRY(db.integer("SELECT 1 FROM subscriptions WHERE user=? AND source=?", user, id))) return no_source(id);
  Query query(db, "SELECT type, bytes FROM icons WHERE source=?", id);
  if (!TRY(query.next())) return std::nullopt;
  return Icon{.type = query.string(0), .bytes = std::string(query.blob(1))};
}

Result<std::vector<Subscription>> Reader::subscriptions(UserId user) {
  Query query(*TRY(db()),
              "SELECT " SUBSCRIPTION_COLUMNS
              " FROM subscriptions u JOIN sources s ON s.id=u.source WHERE u.user=? "
              "ORDER BY u.folder, iif(u.title='', s.title, u.title) COLLATE NOCASE, s.id",
              user);
  std::vector<Subscription> out;
  while (TRY(query.next())) out.push_back(read_subscription(query));
  return out;
}

Result<Subscription> Reader::subscription(UserId user, SourceId source) {
  Query query(*TRY(db()), "SELECT " SUBSCRIPTION_COLUMNS " FROM subscriptions u JOIN sources s ON s.id=u.source WHERE u.user=? AND u.source=?", user, source);
  if (!TRY(query.next())) return no_source(source);
  return read_subscription(query);
}

Result<std::vector<SourceId>> Reader::sources_of(UserId user) {
  Query query(*TRY(db()), "SELECT source FROM subscriptions WHERE user=? ORDER BY source", user);
  std::vector<SourceId> out;
  while (TRY(query.next())) out.push_back(SourceId{query.integer(0)});
  return out;
}

Result<std::vector<UserId>> Reader::readers_of(SourceId source) {
  Query query(*TRY(db()), "SELECT user FROM subscriptions WHERE source=? ORDER BY user", source);
  std::vector<UserId> out;
  while (TRY(query.next())) out.push_back(UserId{query.integer(0)});
  return out;
}

Result<std::optional<UserId>> Reader::owner_of(SourceId push_source) {
  const auto owner = TRY(TRY(db())->integer("SELECT owner FROM sources WHERE id=?", push_source));
  if (!owner) return std::nullopt;
  return UserId{*owner};
}

Result<std::vector<Arrivals>> Reader::arrivals(UserId user, Time since) {
  Query query(
      *TRY(db()),
      "SELECT a.source, a.hour, a.stored FROM subscriptions u JOIN arrivals a ON a.source=u.source AND a.hour>=?2 WHERE u.user=?1 ORDER BY a.hour, a.source",
      user, hour_of(since));
  std::vector<Arrivals> out;
  while (TRY(query.next()))
    out.push_back({.source = SourceId{query.integer(0)}, .hour = from_micros(query.integer(1) * 3'600'000'000), .stored = query.integer(2)});
  return out;
}

Status stop_unread_sources(Connection& connection) {
  return connection.run("UPDATE sources SET next=NULL WHERE next IS NOT NULL AND NOT EXISTS(SELECT 1 FROM subscriptions WHERE source=sources.id)");
}

// One piece: at most `limit` stars, ten times as many items looked at. True while there are more.
Result<bool> forget_left_stars(Connection& connection, UserId user, SourceId source, std::size_t limit) {
  std::int64_t reached = 0, left = 0;
  {
    Query query(connection, "SELECT reached, n FROM left_stars WHERE user=? AND source=?", user, source);
    if (!TRY(query.next())) return false;
    reached = query.integer(0);
    left = query.integer(1);
  }
  std::size_t seen = 0, gone = 0;
  {
    Query items(connection, "SELECT place FROM items INDEXED BY items_source WHERE source=? AND place>? ORDER BY place", source, reached);
    for (; left > 0 && gone < limit && seen < limit * 10; ++seen) {
      if (!TRY(items.next())) {
        left = 0;
        break;
      }
      reached = items.integer(0);
      TRY(connection.run("DELETE FROM starred WHERE user=? AND place=?", user, reached));
      if (connection.changes() == 1) --left, ++gone;
    }
  }
  if (left == 0) TRY(connection.run("DELETE FROM left_stars WHERE user=? AND source=?", user, source));
  else TRY(connection.run("UPDATE left_stars SET reached=?3, n=?4 WHERE user=?1 AND source=?2", user, source, reached, left));
  return left > 0;
}

// ---- writing ------------------------------------------------------------------------------------------------------------------------------------

Result<SourceId> Writer::add_feed(std::string_view url, Time next_at) {
  if (url.empty()) return fail(Code::invalid, "a feed has an address", "url");
  if (const auto known = TRY(db_->integer("UPDATE sources SET next=coalesce(next, ?2) WHERE url=?1 RETURNING id", url, next_at))) return SourceId{*known};
  return SourceId{TRY(db_->integer("INSERT INTO sources(kind, url, next) VALUES(0, ?, ?) RETURNING id", url, next_at)).value_or(0)};
}

Result<SourceId> Writer::add_push(UserId owner, std::string_view title) {
  if (!TRY(db_->integer("SELECT 1 FROM users WHERE id=?", owner))) return fail(Code::not_found, "there is no such user", fmt::format("user {}", owner.value));
  const SourceId id{TRY(db_->integer("INSERT INTO sources(kind, owner, title) VALUES(1, ?, ?) RETURNING id", owner, title)).value_or(0)};
  TRY(subscribe(owner, id, "", ""));
  return id;
}

Status Writer::subscribe(UserId user, SourceId source, std::string_view title, std::string_view folder) {
  if (!TRY(db_->integer("SELECT 1 FROM users WHERE id=?", user))) return fail(Code::not_found, "there is no such user", fmt::format("user {}", user.value));
  {
    Query query(*db_, "SELECT owner FROM sources WHERE id=?", source);
    if (!TRY(query.next())) return no_source(source);
    if (!query.null(0) && query.integer(0) != user.value)
      return fail(Code::forbidden, "this source is another reader's", fmt::format("source {}", source.value));
  }
  if (TRY(db_->integer("SELECT 1 FROM subscriptions WHERE user=? AND source=?", user, source)))
    return fail(Code::exists, say("source_known", "the source is among this reader's already"), fmt::format("source {}", source.value));
  while (TRY(forget_left_stars(*db_, user, source, shared_->options.piece))) {}  // of an earlier subscription; there are some for a second at most
  BoxEdit box(*db_, user);
  std::int64_t total = 0;
  {
    Query items(*db_, "SELECT place FROM items INDEXED BY items_source WHERE source=? ORDER BY place DESC", source);
    for (; TRY(items.next()); ++total) {
      Chunk* chunk = TRY(box.chunk(chunk_of(items.integer(0))));
      chunk->member.set(slot_of(items.integer(0)));
      if (total < unread_at_first) chunk->unread.set(slot_of(items.integer(0)));
    }
  }
  TRY(box.flush());
  return db_->run("INSERT INTO subscriptions(user, source, title, folder, unread, total) VALUES(?, ?, ?, ?, ?, ?)", user, source, title, folder,
                  std::min(total, unread_at_first), total);
}

Status Writer::edit_subscription(UserId user, SourceId source, const std::optional<std::string>& title, const std::optional<std::string>& folder,
                                 std::optional<std::optional<std::int32_t>> keep_days) {
  if (keep_days && *keep_days && **keep_days < 0) return fail(Code::invalid, "days to keep are 0 (for ever) or more", "keep_days");
  TRY(db_->run("UPDATE subscriptions SET title=coalesce(?3, title), folder=coalesce(?4, folder) WHERE user=?1 AND source=?2", user, source, title, folder));
  if (db_->changes() == 0) return no_source(source);
  if (keep_days) return db_->run("UPDATE subscriptions SET keep=?3 WHERE user=?1 AND source=?2", user, source, *keep_days);
  return {};
}

Status Writer::rename_folder(UserId user, std::string_view from, std::string_view to) {
  TRY(db_->run("UPDATE subscriptions SET folder=?3 WHERE user=?1 AND folder=?2", user, from, to));
  if (db_->changes() == 0) return fail(Code::not_found, "there is no such folder", std::string(from));
  return {};
}

Status Writer::unsubscribe(UserId user, SourceId source) {
  const auto stars = TRY(db_->integer("SELECT starred FROM subscriptions WHERE user=? AND source=?", user, source));
  if (!stars) return no_source(source);
  BoxEdit box(*db_, user);
  {
    Query items(*db_, "SELECT place FROM items INDEXED BY items_source WHERE source=?", source);
    while (TRY(items.next())) {
      const std::int64_t place = items.integer(0);
      if (!TRY(box.look(chunk_of(place)))->member.test(slot_of(place))) continue;
      Chunk* chunk = TRY(box.chunk(chunk_of(place)));
      chunk->member.clear(slot_of(place));
      chunk->unread.clear(slot_of(place));
    }
  }
  TRY(box.flush());
  if (*stars > 0) {  // rows, one each: the first piece now, the others by forget_stars(); what is in no box is not shown meanwhile
    TRY(db_->run("UPDATE users SET starred=starred-?2 WHERE id=?1", user, *stars));
    TRY(db_->run("INSERT INTO left_stars(user, source, reached, n) VALUES(?, ?, -1, ?)", user, source, *stars));
    TRY(forget_left_stars(*db_, user, source, shared_->options.piece));
  }
  TRY(db_->run("DELETE FROM subscriptions WHERE user=? AND source=?", user, source));
  TRY(db_->run("UPDATE subscriptions SET purged=-1 WHERE source=?", source));  // what only this reader had: retention looks again
  return db_->run("UPDATE sources SET next=NULL WHERE id=? AND NOT EXISTS(SELECT 1 FROM subscriptions WHERE source=sources.id)", source);
}

Result<bool> Writer::forget_stars() {
  SourceId source;
  UserId user;
  {
    Query query(*db_, "SELECT user, source FROM left_stars LIMIT 1");
    if (!TRY(query.next())) return false;
    user = UserId{query.integer(0)};
    source = SourceId{query.integer(1)};
  }
  TRY(forget_left_stars(*db_, user, source, shared_->options.piece));
  return true;
}

Status Writer::move_feed(UserId user, SourceId source, std::string_view url) {
  if (!TRY(db_->integer("SELECT 1 FROM subscriptions WHERE user=? AND source=?", user, source))) return no_source(source);
  if (TRY(db_->integer("SELECT 1 FROM subscriptions WHERE source=? AND user<>? LIMIT 1", source, user)))
    return fail(Code::refused, "others read this source too", fmt::format("source {}", source.value), "add the new address and remove this one");
  if (const auto known = TRY(db_->integer("SELECT id FROM sources WHERE url=?", url)); known && *known != source.value)
    return fail(Code::exists, "another source has this address", fmt::format("source {}", *known));
  TRY(db_->run("UPDATE sources SET url=?2, etag='', last_modified='' WHERE id=?1 AND kind=0", source, url));
  if (db_->changes() == 0) return fail(Code::invalid, "a source that is pushed to has no address", fmt::format("source {}", source.value));
  return {};
}

Status Writer::set_next(SourceId source, std::optional<Time> next_at) {
  TRY(db_->run("UPDATE sources SET next=?2 WHERE id=?1", source, next_at));
  if (db_->changes() == 0) return no_source(source);
  return {};
}

Status Writer::set_icon(SourceId source, std::string_view type, std::string_view bytes) {
  if (!TRY(db_->integer("SELECT 1 FROM sources WHERE id=?", source))) return no_source(source);
  if (bytes.empty()) return db_->run("DELETE FROM icons WHERE source=?", source);
  return db_->run("INSERT OR REPLACE INTO icons(source, type, bytes) VALUES(?, ?, ?)", source, type, Blob{bytes});
}

}  // namespace weir::store
