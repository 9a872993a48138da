// Lists: which places a query means, page by page, and then their rows.
//
// Without a text there are three walks, each in list order and each from where the cursor stands: over the reader's chunks (all sources), over the
// sources' own indexes merged (one source, a folder), over the stars. With a text the walk is over the word index. With `after` a short log of what came
// or changed since is taken instead, when it is short.
#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "store/cursor.h"
#include "store/search.h"
#include "store/shared.h"

namespace weir::store {
namespace {

constexpr std::size_t most_with_bodies = 1'000, most_refs = 50'000;
constexpr std::size_t short_log = 20'000;     // items since `after` that are sorted rather than walked to
constexpr std::size_t step_budget = 200'000;  // index entries a page may pass over, …
constexpr std::size_t verify_budget = 600;    // texts a phrase may be looked up in, before the page ends short
constexpr std::size_t best_newest = 200, best_titles = 100;

// One request's walk. Every public function runs it inside one snapshot.
class Walk {
 public:
  Walk(Connection& db, Shared& shared, UserId user, const ItemQuery& query) : db_(db), shared_(shared), user_(user), query_(query), box_(db, user) {}

  // The places of a page, and the cursor that follows it.
  Result<std::pair<std::vector<std::int64_t>, std::string>> page() {
    TRY(prepare());
    if (query_.order == Order::relevance) return best();
    if (!nothing_) {
      if (plan_) TRY(words(newest()));
      else if (query_.after && TRY(log_is_short())) TRY(log());
      else if (query_.state == ReadState::starred) TRY(stars());
      else if (every_) TRY(chunks());
      else TRY(merge());
    }
    std::string cursor;
    if (found_.size() > query_.limit) {
      found_.resize(query_.limit);
      cursor = write_cursor(shared_.secret, user_, query_, {.place = found_.back(), .offset = 0});
    } else if (cut_) {
      cursor = write_cursor(shared_.secret, user_, query_, {.place = *cut_, .offset = 0});
    }
    return std::pair{std::move(found_), std::move(cursor)};
  }

  Box& box() { return box_; }

 private:
  bool newest() const { return query_.order != Order::oldest; }
  bool is_before(std::int64_t a, std::int64_t b) const { return newest() ? a > b : a < b; }  // in list order

  Status prepare() {
    if (query_.order == Order::ranked) return fail(Code::invalid, "the store does not rank", "order");
    if (query_.order == Order::relevance && query_.text.empty())
      return fail(Code::invalid, "the order relevance needs something to search for", "order", "give q as well");
    bound_ = newest() ? past_every_place : -1;
    if (!query_.cursor.empty()) {
      cursor_ = TRY(read_cursor(shared_.secret, user_, query_));
      bound_ = cursor_->place;
    }
    if (!query_.text.empty()) {
      plan_ = TRY(plan_search(query_.text));
      pairs_ = pairs_of(*plan_);
      nothing_ = plan_->match.empty();
    }
    return load_sources();
  }

  // Which sources, and whether any of them can have what is asked for.
  Status load_sources() {
    every_ = !query_.source && !query_.folder;
    std::int64_t unread = 0, total = 0;
    bool any = false;
    Query query(db_, "SELECT source, unread, total FROM subscriptions WHERE user=?1 AND (?2=0 OR source=?2) AND (?3 IS NULL OR folder=?3)", user_,
                query_.source, query_.folder);
    while (TRY(query.next())) {
      any = true;
      const std::int64_t has = query_.state == ReadState::unread ? query.integer(1)
                               : query_.state == ReadState::read ? query.integer(2) - query.integer(1)
                                                                 : query.integer(2);
      unread += query.integer(1);
      total += query.integer(2);
      if (!every_ && has > 0) sources_.insert(query.integer(0));
    }
    if (query_.source && !any) return fail(Code::not_found, "there is no such source", fmt::format("source {}", query_.source.value));
    if (query_.folder && !any) return fail(Code::not_found, "there is no such folder", *query_.folder);
    if (every_) nothing_ = nothing_ || (query_.state == ReadState::unread ? unread : query_.state == ReadState::read ? total - unread : total) == 0;
    else nothing_ = nothing_ || sources_.empty();
    return {};
  }

  // ---- what a place must fulfil ----

  Result<bool> in_state(std::int64_t place) {
    const Chunk* chunk = TRY(box_.chunk(chunk_of(place)));
    const unsigned slot = slot_of(place);
    if (!chunk->member.test(slot)) return false;
    switch (query_.state) {
      case ReadState::unread: return chunk->unread.test(slot);
      case ReadState::read: return !chunk->unread.test(slot);
      case ReadState::starred: return TRY(db_.integer("SELECT 1 FROM starred WHERE user=? AND place=?", user_, place)).has_value();
      case ReadState::all: return true;
    }
    return false;
  }

  Result<bool> in_sources(std::int64_t place) {
    if (every_) return true;
    return sources_.contains(TRY(db_.integer("SELECT source FROM items WHERE place=?", place)).value_or(0));
  }

  Result<bool> in_time(std::int64_t place) {
    if (!query_.after && !query_.before) return true;
    const Time changed = from_micros(TRY(db_.integer("SELECT coalesce(changed, received) FROM items WHERE place=?", place)).value_or(0));
    return (!query_.after || changed >= *query_.after) && (!query_.before || changed < *query_.before);
  }

  Result<bool> in_text(std::int64_t place) {
    if (plan_->phrases.empty()) return true;
    std::uint64_t stamp = 0;
    std::string title;
    {
      Query query(db_, "SELECT id, revision, title FROM items WHERE place=?", place);
      if (!TRY(query.next())) return false;
      stamp = static_cast<std::uint64_t>(query.integer(0)) << 32 | static_cast<std::uint32_t>(query.integer(1));
      title = query.string(2);
    }
    if (!shared_.pairs.may_have_all(place, stamp, pairs_)) return false;
    ++verified_;
    const Codec::Texts texts = TRY(look_at_body(db_, shared_, place));
    const std::string_view body = texts.read();
    if (surely_holds(*plan_, title, body)) return true;
    Pairs pairs;
    const bool holds = holds_phrases(*plan_, title, texts.text.empty() && !texts.html.empty() ? text_of_clean_html(body) : std::string(body), &pairs);
    shared_.pairs.put(place, stamp, pairs);
    return holds;
  }

  Result<Judgement> read_and_judge(std::int64_t place) {
    Item item;
    TRY(read_body(db_, shared_, place, item));
    const std::string title = TRY(db_.text("SELECT title FROM items WHERE place=?", place)).value_or("");
    return judge(*plan_, title, plain_text(item));  // no title in it yet: the text alone
  }

  // True: go on. One more than the limit is collected, so that the last page is known to be the last.
  bool full() const { return found_.size() > query_.limit; }
  bool spent(std::int64_t place) {
    if (++steps_ < step_budget && verified_ < verify_budget) return false;
    if (found_.empty()) return false;  // never an empty page that has a next one
    cut_ = place;
    return true;
  }

  // ---- walks ----

  Status chunks() {
    const char* sql =
        query_.state == ReadState::unread
            ? (newest() ? "SELECT chunk, member, unread FROM box INDEXED BY box_unread WHERE user=? AND chunk<=? AND unread IS NOT NULL ORDER BY chunk DESC"
                        : "SELECT chunk, member, unread FROM box INDEXED BY box_unread WHERE user=? AND chunk>=? AND unread IS NOT NULL ORDER BY chunk")
            : (newest() ? "SELECT chunk, member, unread FROM box WHERE user=? AND chunk<=? ORDER BY chunk DESC"
                        : "SELECT chunk, member, unread FROM box WHERE user=? AND chunk>=? ORDER BY chunk");
    Query query(db_, sql, user_, bound_ < 0 ? 0 : chunk_of(bound_));
    while (!full() && TRY(query.next())) {
      const std::int64_t number = query.integer(0);
      Bits bits(query.blob(query_.state == ReadState::unread ? 2 : 1));
      if (query_.state == ReadState::read) bits.subtract(Bits(query.blob(2)));
      if (TRY(take_bits(number, bits))) return {};
    }
    return {};
  }

  // True: the page is done.
  Result<bool> take_bits(std::int64_t number, const Bits& bits) {
    const auto accept = [&](unsigned slot) -> Result<bool> {
      const std::int64_t place = place_of(number, slot);
      if (!is_before(bound_, place)) return false;
      if (TRY(in_time(place))) found_.push_back(place);
      return full() || spent(place);
    };
    if (newest()) {
      for (int slot = bits.previous(Bits::size - 1); slot >= 0; slot = slot == 0 ? -1 : bits.previous(slot - 1))
        if (TRY(accept(static_cast<unsigned>(slot)))) return true;
    } else {
      for (unsigned slot = bits.next(0); slot < Bits::size; slot = bits.next(slot + 1))
        if (TRY(accept(slot))) return true;
    }
    return false;
  }

  // The next places of one source, read a few at a time.
  struct Lane {
    std::int64_t source;
    std::vector<std::int64_t> ahead;
    std::size_t at = 0, batch = 0;
    std::int64_t bound = 0;
  };

  Result<bool> refill(Lane& lane) {
    lane.ahead.clear();
    lane.at = 0;
    lane.batch = std::min<std::size_t>(lane.batch * 2, 4'096);
    Query query(db_,
                newest() ? "SELECT place FROM items INDEXED BY items_source WHERE source=? AND place<? ORDER BY place DESC LIMIT ?"
                         : "SELECT place FROM items INDEXED BY items_source WHERE source=? AND place>? ORDER BY place LIMIT ?",
                lane.source, lane.bound, static_cast<std::int64_t>(lane.batch));
    while (TRY(query.next())) lane.ahead.push_back(query.integer(0));
    if (!lane.ahead.empty()) lane.bound = lane.ahead.back();
    return !lane.ahead.empty();
  }

  Status merge() {
    std::vector<Lane> lanes;
    for (const std::int64_t source : sources_)
      lanes.push_back({.source = source, .ahead = {}, .at = 0, .batch = query_.limit / sources_.size() / 2 + 4, .bound = bound_});
    const auto later = [&](const Lane* a, const Lane* b) { return is_before(b->ahead[b->at], a->ahead[a->at]); };
    std::priority_queue<Lane*, std::vector<Lane*>, decltype(later)> next(later);
    for (Lane& lane : lanes)
      if (TRY(refill(lane))) next.push(&lane);
    while (!next.empty() && !full()) {
      Lane* lane = next.top();
      next.pop();
      const std::int64_t place = lane->ahead[lane->at++];
      if (TRY(in_state(place)) && TRY(in_time(place))) found_.push_back(place);
      if (full() || spent(place)) return {};
      if (lane->at < lane->ahead.size() || TRY(refill(*lane))) next.push(lane);
    }
    return {};
  }

  Status stars() {
    Query query(db_,
                newest() ? "SELECT place FROM starred WHERE user=? AND place<? ORDER BY place DESC"
                         : "SELECT place FROM starred WHERE user=? AND place>? ORDER BY place",
                user_, bound_);
    while (!full() && TRY(query.next())) {
      const std::int64_t place = query.integer(0);
      if (TRY(box_.member(place)) && TRY(in_sources(place)) && TRY(in_time(place))) found_.push_back(place);  // not: its source was left
      if (full() || spent(place)) return {};
    }
    return {};
  }

  Status words(bool descending) {
    Query query(
        db_,
        descending ? "SELECT rowid FROM f WHERE f MATCH ? AND rowid<? ORDER BY rowid DESC" : "SELECT rowid FROM f WHERE f MATCH ? AND rowid>? ORDER BY rowid",
        plan_->match, bound_);
    while (!full() && TRY(query.next())) {
      const std::int64_t place = query.integer(0);
      if (TRY(in_state(place)) && TRY(in_sources(place)) && TRY(in_time(place)) && TRY(in_text(place))) found_.push_back(place);
      if (full() || spent(place)) return {};
    }
    return {};
  }

  // ---- since `after` ----

  Result<bool> log_is_short() {
    const std::int64_t end = TRY(db_.integer("SELECT value FROM meta WHERE key='next_id'")).value_or(1);
    Query query(db_, "SELECT received FROM items INDEXED BY items_id WHERE id>=? ORDER BY id LIMIT 1");
    std::int64_t low = 1, high = end;
    while (low < high) {
      const std::int64_t middle = low + (high - low) / 2;
      query.again(middle);
      if (!TRY(query.next()) || query.time(0) >= *query_.after) high = middle;
      else low = middle + 1;
    }
    first_id_ = low;
    return end - low <= static_cast<std::int64_t>(short_log);
  }

  Status log() {
    std::vector<std::int64_t> places;
    const auto gather = [&](Query&& query) -> Status {
      while (TRY(query.next()))
        if (is_before(bound_, query.integer(0))) places.push_back(query.integer(0));
      return {};
    };
    TRY(gather(Query(db_, "SELECT place FROM items INDEXED BY items_id WHERE id>=?", first_id_)));
    TRY(gather(Query(db_, "SELECT place FROM items INDEXED BY items_changed WHERE changed>=?", *query_.after)));
    std::ranges::sort(places, [&](std::int64_t a, std::int64_t b) { return is_before(a, b); });
    places.erase(std::unique(places.begin(), places.end()), places.end());
    for (const std::int64_t place : places) {
      if (TRY(in_state(place)) && TRY(in_sources(place)) && TRY(in_time(place))) found_.push_back(place);
      if (full()) return {};
    }
    return {};
  }

  // ---- relevance ----

  // Collects up to `limit` hits of one table, newest first, into found_.
  Status hits(const char* sql, const std::string& match, std::size_t limit) {
    Query query(db_, sql, match, bound_);
    std::size_t n = 0, steps = 0;
    while (n < limit && ++steps < step_budget && TRY(query.next())) {
      const std::int64_t place = query.integer(0);
      if (!TRY(in_state(place)) || !TRY(in_sources(place)) || !TRY(in_time(place))) continue;
      found_.push_back(place);
      ++n;
    }
    return {};
  }

  Result<std::pair<std::vector<std::int64_t>, std::string>> best() {
    if (nothing_) return std::pair{std::vector<std::int64_t>{}, std::string{}};
    if (!cursor_) bound_ = TRY(db_.integer("SELECT max(place)+1 FROM items")).value_or(0);
    TRY(hits("SELECT rowid FROM f WHERE f MATCH ? AND rowid<? ORDER BY rowid DESC", plan_->match, best_newest));
    TRY(hits("SELECT rowid FROM ft WHERE ft MATCH ? AND rowid<? ORDER BY rowid DESC", plan_->title_match, best_titles));
    std::ranges::sort(found_, std::greater<>());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    std::vector<std::pair<double, std::int64_t>> ranked;
    for (const std::int64_t place : found_) {
      const Judgement found = TRY(read_and_judge(place));
      if (found.phrases) ranked.emplace_back(found.score, place);
    }
    std::ranges::sort(ranked, std::greater<>());  // the newer one of equals
    std::vector<std::int64_t> places;
    const std::size_t from = cursor_ ? cursor_->offset : 0;
    for (std::size_t i = from; i < ranked.size() && places.size() < query_.limit; ++i) places.push_back(ranked[i].second);
    std::string cursor;
    if (from + places.size() < ranked.size() && !places.empty())
      cursor = write_cursor(shared_.secret, user_, query_, {.place = bound_, .offset = static_cast<std::uint32_t>(from + places.size())});
    return std::pair{std::move(places), std::move(cursor)};
  }

  Connection& db_;
  Shared& shared_;
  UserId user_;
  const ItemQuery& query_;
  Box box_;
  std::optional<Cursor> cursor_;
  std::optional<SearchPlan> plan_;
  std::vector<std::uint16_t> pairs_;          // of its phrases
  std::unordered_set<std::int64_t> sources_;  // those that can have what is asked for
  bool every_ = true, nothing_ = false;
  std::int64_t bound_ = 0, first_id_ = 0;
  std::size_t steps_ = 0, verified_ = 0;
  std::vector<std::int64_t> found_;
  std::optional<std::int64_t> cut_;  // where the budget ended
};

Status check_limit(std::size_t limit, std::size_t most) {
  if (limit >= 1 && limit <= most) return {};
  return fail(Code::invalid, fmt::format("a page has 1 to {} items", most), "limit");
}

Result<bool> is_starred(Connection& db, UserId user, std::int64_t place) {
  return TRY(db.integer("SELECT 1 FROM starred WHERE user=? AND place=?", user, place)).has_value();
}

// The row that `query` stands on, with the reader's marks; nothing when it is not in the box.
Result<std::optional<StoredItem>> shown(Connection& db, Shared& shared, UserId user, Box& box, Query& query, bool bodies) {
  const std::int64_t place = query.integer(0);
  if (!TRY(box.member(place))) return std::nullopt;
  StoredItem stored = TRY(read_item(query));
  stored.read = !TRY(box.unread(place));
  stored.starred = TRY(is_starred(db, user, place));
  if (bodies) TRY(read_body(db, shared, place, stored.item));
  return stored;
}

}  // namespace

Result<Page> Reader::items(UserId user, const ItemQuery& query) {
  TRY(check_limit(query.limit, query.bodies ? most_with_bodies : most_refs));
  Connection& db = *TRY(this->db());
  const auto snapshot = TRY(Snapshot::take(db));
  Walk walk(db, *shared_, user, query);
  auto [places, cursor] = TRY(walk.page());
  Page page{.items = {}, .cursor = std::move(cursor), .note = {}};
  if (query.order == Order::relevance) page.note = say("note_relevance", "best of the newest {n} hits and the title hits", {{"n", 200}});
  page.items.reserve(places.size());
  Query row(db, "SELECT " WEIR_ITEM_COLUMNS " FROM items WHERE place=?");
  for (const std::int64_t place : places) {
    row.again(place);
    if (!TRY(row.next())) continue;
    if (auto stored = TRY(shown(db, *shared_, user, walk.box(), row, query.bodies))) page.items.push_back(std::move(*stored));
  }
  return page;
}

Result<IdPage> Reader::ids(UserId user, const ItemQuery& query) {
  TRY(check_limit(query.limit, most_refs));
  Connection& db = *TRY(this->db());
  const auto snapshot = TRY(Snapshot::take(db));
  Walk walk(db, *shared_, user, query);
  auto [places, cursor] = TRY(walk.page());
  IdPage page{.items = {}, .cursor = std::move(cursor)};
  page.items.reserve(places.size());
  Query row(db, "SELECT id, source, received, at, published, changed FROM items WHERE place=?");
  for (const std::int64_t place : places) {
    row.again(place);
    if (!TRY(row.next())) continue;
    const Time received = row.time(2);
    page.items.push_back({.id = ItemId{row.integer(0)},
                          .source = SourceId{row.integer(1)},
                          .at = row.maybe_time(3).value_or(received),
                          .changed = row.maybe_time(5).value_or(received),
                          .published = row.maybe_time(4),
                          .read = !TRY(walk.box().unread(place)),
                          .starred = TRY(is_starred(db, user, place))});
  }
  return page;
}

Result<StoredItem> Reader::item(UserId user, ItemId id) {
  auto found = TRY(items_by_id(user, std::span(&id, 1), true));
  if (found.empty()) return fail(Code::not_found, "there is no such item", fmt::format("item {}", id.value));
  return std::move(found.front());
}

Result<std::vector<StoredItem>> Reader::items_by_id(UserId user, std::span<const ItemId> ids, bool bodies) {
  if (ids.size() > 10'000) return fail(Code::invalid, "at most 10,000 items at once", "ids");
  Connection& db = *TRY(this->db());
  const auto snapshot = TRY(Snapshot::take(db));
  Box box(db, user);
  std::vector<StoredItem> out;
  Query row(db, "SELECT " WEIR_ITEM_COLUMNS " FROM items INDEXED BY items_id WHERE id=?");
  for (const ItemId id : ids) {
    row.again(id);
    if (!TRY(row.next())) continue;
    if (auto stored = TRY(shown(db, *shared_, user, box, row, bodies))) out.push_back(std::move(*stored));
  }
  return out;
}

Result<std::int64_t> Reader::starred_count(UserId user) { return TRY(TRY(db())->integer("SELECT starred FROM users WHERE id=?", user)).value_or(0); }

}  // namespace weir::store
