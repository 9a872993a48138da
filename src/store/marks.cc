// What a reader did with items: read, star, mark all, signals.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "store/shared.h"

namespace weir::store {
namespace {

// Unread marks of one reader being cleared or set, with the counters that follow from them.
class Marking {
 public:
  Marking(Connection& db, UserId user) : db_(db), user_(user), box_(db, user) {}

  Result<bool> is_member(std::int64_t place) { return TRY(box_.look(chunk_of(place)))->member.test(slot_of(place)); }

  Result<bool> set_unread(std::int64_t place, SourceId source, bool unread) {
    const Chunk* chunk = TRY(box_.look(chunk_of(place)));
    if (!chunk->member.test(slot_of(place)) || chunk->unread.test(slot_of(place)) == unread) return false;
    Chunk* change = TRY(box_.chunk(chunk_of(place)));
    unread ? change->unread.set(slot_of(place)) : change->unread.clear(slot_of(place));
    by_source_[source] += unread ? 1 : -1;
    return true;
  }

  Result<bool> set_star(std::int64_t place, SourceId source, bool starred) {
    if (!TRY(is_member(place))) return false;
    if (starred) TRY(db_.run("INSERT OR IGNORE INTO starred(user, place) VALUES(?, ?)", user_, place));
    else TRY(db_.run("DELETE FROM starred WHERE user=? AND place=?", user_, place));
    if (db_.changes() == 0) return false;
    stars_by_source_[source] += starred ? 1 : -1;
    return true;
  }

  // Every unread item of one source, the newest first, until as many are found as its counter says.
  Result<std::int64_t> read_source(SourceId source) {
    std::int64_t left = TRY(db_.integer("SELECT unread FROM subscriptions WHERE user=? AND source=?", user_, source)).value_or(0);
    std::int64_t n = 0;
    if (left == 0) return n;
    Query items(db_, "SELECT place FROM items INDEXED BY items_source WHERE source=? ORDER BY place DESC", source);
    while (left > 0 && TRY(items.next()))
      if (TRY(set_unread(items.integer(0), source, false))) --left, ++n;
    return n;
  }

  Status flush() {
    TRY(box_.flush());
    for (const auto& [source, by] : by_source_)
      if (by != 0) TRY(db_.run("UPDATE subscriptions SET unread=unread+?3 WHERE user=?1 AND source=?2", user_, source, by));
    std::int64_t stars = 0;
    for (const auto& [source, by] : stars_by_source_) {
      stars += by;
      if (by != 0) TRY(db_.run("UPDATE subscriptions SET starred=starred+?3 WHERE user=?1 AND source=?2", user_, source, by));
    }
    if (stars != 0) TRY(db_.run("UPDATE users SET starred=starred+?2 WHERE id=?1", user_, stars));
    return {};
  }

 private:
  Connection& db_;
  UserId user_;
  BoxEdit box_;
  std::map<SourceId, std::int64_t> by_source_, stars_by_source_;
};

struct Located {
  std::int64_t place;
  SourceId source;
};

Result<std::optional<Located>> locate(Connection& db, ItemId item) {
  Query query(db, "SELECT place, source FROM items INDEXED BY items_id WHERE id=?", item);
  if (!TRY(query.next())) return std::nullopt;
  return Located{query.integer(0), SourceId{query.integer(1)}};
}

// The sources a scope names; nothing: all of the reader's.
Result<std::optional<std::vector<SourceId>>> sources_in(Connection& db, UserId user, const MarkScope& scope) {
  if (!scope.source && !scope.folder) return std::nullopt;
  std::vector<SourceId> out;
  Query query(db, "SELECT source FROM subscriptions WHERE user=?1 AND (?2=0 OR source=?2) AND (?3 IS NULL OR folder=?3) ORDER BY source", user, scope.source,
              scope.folder);
  while (TRY(query.next())) out.push_back(SourceId{query.integer(0)});
  if (out.empty()) {
    if (scope.source) return fail(Code::not_found, "there is no such source", fmt::format("source {}", scope.source.value));
    return fail(Code::not_found, "there is no such folder", scope.folder.value_or(""));
  }
  return out;
}

// The first id received after `time`. Ids are given out as items come in, so their times grow; a clock that was set back blurs this by that much.
Result<std::int64_t> first_id_after(Connection& db, Time time) {
  std::int64_t low = 1, high = TRY(db.integer("SELECT value FROM meta WHERE key='next_id'")).value_or(1);
  Query query(db, "SELECT received, id FROM items INDEXED BY items_id WHERE id>=? ORDER BY id LIMIT 1");
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    query.again(middle);
    if (!TRY(query.next()) || query.time(0) > time) high = middle;
    else low = query.integer(1) + 1;
  }
  return low;
}

Result<std::int64_t> read_all(Connection& db, UserId user, Marking& marking, const std::optional<std::vector<SourceId>>& sources) {
  if (sources) {
    std::int64_t n = 0;
    for (const SourceId source : *sources) n += TRY(marking.read_source(source));
    return n;
  }
  const auto n = TRY(db.integer("SELECT sum(unread) FROM subscriptions WHERE user=?", user)).value_or(0);
  TRY(db.run("UPDATE box SET unread=NULL WHERE user=? AND unread IS NOT NULL", user));
  TRY(db.run("UPDATE subscriptions SET unread=0 WHERE user=? AND unread<>0", user));
  return n;
}

// Those with an id in [from, to) that are unread and in scope.
Result<std::vector<Located>> unread_between(Connection& db, UserId user, std::int64_t from, std::int64_t to,
                                            const std::optional<std::vector<SourceId>>& sources) {
  std::vector<Located> out;
  BoxEdit box(db, user);  // only looked at
  Query query(db, "SELECT place, source FROM items INDEXED BY items_id WHERE id>=? AND id<?", from, to);
  while (TRY(query.next())) {
    const Located item{query.integer(0), SourceId{query.integer(1)}};
    if (sources && !std::ranges::binary_search(*sources, item.source)) continue;
    if (TRY(box.look(chunk_of(item.place)))->unread.test(slot_of(item.place))) out.push_back(item);
  }
  return out;
}

}  // namespace

Result<std::vector<ItemId>> Writer::mark(UserId user, std::span<const ItemId> items, Mark mark) {
  std::vector<ItemId> changed;
  Marking marking(*db_, user);
  for (const ItemId id : items) {
    const auto item = TRY(locate(*db_, id));
    if (!item) continue;
    const bool on = mark == Mark::unread || mark == Mark::star;
    const bool did = mark == Mark::read || mark == Mark::unread ? TRY(marking.set_unread(item->place, item->source, on))
                                                                : TRY(marking.set_star(item->place, item->source, on));
    if (!did) continue;
    changed.push_back(id);
    // Retention may have passed by while it was starred.
    if (mark == Mark::unstar)
      TRY(db_->run("UPDATE subscriptions SET purged=?3 WHERE user=?1 AND source=?2 AND purged>?3", user, item->source, item->place - 1));
  }
  TRY(marking.flush());
  return changed;
}

Result<std::int64_t> Writer::mark_all_read(UserId user, const MarkScope& scope) {
  const auto sources = TRY(sources_in(*db_, user, scope));
  const std::int64_t end = TRY(db_->integer("SELECT value FROM meta WHERE key='next_id'")).value_or(1);
  const std::int64_t limit = scope.before ? TRY(first_id_after(*db_, *scope.before)) : end;
  const std::int64_t begin = TRY(db_->integer("SELECT id FROM items INDEXED BY items_id ORDER BY id LIMIT 1")).value_or(end);
  // Walk the smaller side: what stays unread, or what becomes read.
  if (end - limit <= limit - begin) {
    const auto stays = TRY(unread_between(*db_, user, limit, end, sources));
    std::int64_t n = 0;
    {
      Marking marking(*db_, user);
      n = TRY(read_all(*db_, user, marking, sources));
      TRY(marking.flush());
    }
    Marking back(*db_, user);
    for (const Located& item : stays) TRY(back.set_unread(item.place, item.source, true));
    TRY(back.flush());
    return n - static_cast<std::int64_t>(stays.size());
  }
  const auto goes = TRY(unread_between(*db_, user, begin, limit, sources));
  Marking marking(*db_, user);
  for (const Located& item : goes) TRY(marking.set_unread(item.place, item.source, false));
  TRY(marking.flush());
  return static_cast<std::int64_t>(goes.size());
}

Result<bool> Writer::add_signal(UserId user, const Signal& signal) {
  if (signal.id.empty() || signal.id.size() > 200) return fail(Code::invalid, "a signal's id has 1 to 200 bytes", "id");
  if (TRY(db_->integer("SELECT 1 FROM signals WHERE user=? AND id=?", user, signal.id))) return false;
  const auto item = TRY(locate(*db_, signal.item));
  Marking marking(*db_, user);
  if (!item || !TRY(marking.is_member(item->place))) return fail(Code::not_found, "there is no such item", fmt::format("item {}", signal.item.value));
  TRY(db_->run("INSERT INTO signals(user, id, item, kind, at, dwell) VALUES(?, ?, ?, ?, ?, ?)", user, signal.id, signal.item, to_string(signal.kind), signal.at,
               signal.dwell_seconds));
  TRY(db_->run("UPDATE users SET signals=signals+1 WHERE id=?", user));
  if (signal.kind == SignalKind::open || signal.kind == SignalKind::finish) TRY(marking.set_unread(item->place, item->source, false));
  if (signal.kind == SignalKind::star) TRY(marking.set_star(item->place, item->source, true));
  TRY(marking.flush());
  return true;
}

Status Writer::forget_signals(UserId user) {
  TRY(db_->run("DELETE FROM signals WHERE user=?", user));
  return db_->run("UPDATE users SET signals=0 WHERE id=?", user);
}

Result<std::vector<SignalRow>> Reader::signals(UserId user, std::size_t limit, std::int64_t before) {
  Query query(*TRY(db()), "SELECT seq, id, item, kind, at, dwell FROM signals INDEXED BY signals_user WHERE user=? AND seq<? ORDER BY seq DESC LIMIT ?", user,
              before, static_cast<std::int64_t>(limit));
  std::vector<SignalRow> out;
  while (TRY(query.next())) {
    SignalRow row{.signal = {.id = query.string(1),
                             .item = ItemId{query.integer(2)},
                             .kind = signal_kind(query.text(3)).value_or(SignalKind::open),
                             .at = query.time(4),
                             .dwell_seconds = {}},
                  .order = query.integer(0)};
    if (!query.null(5)) row.signal.dwell_seconds = query.real(5);
    out.push_back(std::move(row));
  }
  return out;
}

Result<std::int64_t> Reader::signal_count(UserId user) { return TRY(TRY(db())->integer("SELECT signals FROM users WHERE id=?", user)).value_or(0); }

}  // namespace weir::store
