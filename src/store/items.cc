// Items coming in: identity, place, text, work and boxes, all in the caller's transaction.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_set>

#include "base/json.h"
#include "store/shared.h"

namespace weir::store {
namespace {

constexpr std::size_t most_items = 5'000;

// What is kept of an item beside its texts, title, url, id and dates: authors when they are more than one name, tags, attachments, image, unknown members.
std::string meta_of(const Item& item, std::string& author) {
  Item rest;
  rest.tags = item.tags;
  rest.attachments = item.attachments;
  rest.image = item.image;
  rest.extra = item.extra;
  if (item.authors.size() == 1 && item.authors[0].url.empty() && item.authors[0].extra.empty()) author = item.authors[0].name;
  else rest.authors = item.authors;
  json::object object = to_json(rest);
  object.erase("id");
  return object.empty() ? std::string() : json::serialize(object);
}

// Over everything a reader sees but dates: an item whose dates alone moved has not changed.
std::int64_t content_hash(const Item& item, std::string_view author, std::string_view meta) {
  std::uint64_t hash = 0;
  for (const std::string_view field : {std::string_view(item.title), std::string_view(item.url), std::string_view(item.content_html),
                                       std::string_view(item.content_text), std::string_view(item.summary), author, meta})
    hash = xxh3(field, hash + field.size() + 1);
  return static_cast<std::int64_t>(hash);
}

// When it was published, as far as that can be believed: never later than now.
Time published(const Item& item, Time now) { return std::min(item.date_published.value_or(now), now); }

// The oldest first. Feeds list the newest first, so without dates the last one is the oldest; what is pushed comes in its own order. Of entries with
// one id the first in the feed's order counts. Positions in `items`.
std::vector<std::size_t> in_list_order(const std::vector<NewItem>& items, Time now, bool pushed) {
  std::vector<std::size_t> order;
  std::unordered_set<std::string_view> seen;
  for (std::size_t i = 0; i < items.size(); ++i)
    if (const std::string& id = items[i].item.id; !id.empty() && seen.insert(id).second) order.push_back(i);
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    const Time first = published(items[a].item, now), second = published(items[b].item, now);
    return first != second ? first < second : pushed ? a < b : a > b;
  });
  return order;
}

Status check_number(std::size_t items) {
  if (items <= most_items) return {};
  return fail(Code::too_large, fmt::format("{} items at once, at most {} are taken", items, most_items), {}, "send them in several requests");
}

// Gives out places: the next free slot of an hour, remembered within one commit.
class Places {
 public:
  explicit Places(Connection& connection) : connection_(connection) {}
  Result<std::int64_t> take(std::int64_t hour) {
    auto [at, fresh] = next_.try_emplace(hour, first_place(hour));
    if (fresh) {
      const auto last = TRY(connection_.integer("SELECT max(place) FROM items WHERE place>=? AND place<?", first_place(hour), first_place(hour + 1)));
      if (last) at->second = *last + 1;
    }
    if (at->second >= first_place(hour + 1)) return take(hour + 1);  // four million in one hour: the next one takes them
    return at->second++;
  }

 private:
  Connection& connection_;
  std::map<std::int64_t, std::int64_t> next_;
};

// One commit of one source.
class Intake {
 public:
  Intake(Connection& db, Shared& shared, const FetchOutcome& outcome) : db_(db), shared_(shared), outcome_(outcome), places_(db) {}

  Result<FetchResult> run() {
    TRY(load());
    const auto order = in_list_order(outcome_.items, outcome_.now, push_);
    result_.duplicates = outcome_.items.size() - order.size();
    for (const std::size_t i : order) TRY(take(outcome_.items[i]));
    TRY(fill_boxes());
    TRY(save_source());
    return std::move(result_);
  }

 private:
  struct Known {
    std::int64_t place = 0, key = 0;
    bool removed = false;
  };

  Status load() {
    Query query(db_, "SELECT begun, kind, url FROM sources WHERE id=?", outcome_.source);
    if (!TRY(query.next())) return fail(Code::not_found, "there is no such source", fmt::format("source {}", outcome_.source.value));
    begun_ = query.integer(0) != 0;
    push_ = query.integer(1) == static_cast<int>(SourceKind::push);
    url_ = query.string(2);
    TRY(check_number(outcome_.items.size()));
    Query readers(db_, "SELECT user FROM subscriptions WHERE source=?", outcome_.source);
    while (TRY(readers.next())) readers_.push_back(UserId{readers.integer(0)});
    next_id_ = TRY(db_.integer("SELECT value FROM meta WHERE key='next_id'")).value_or(1);
    return {};
  }

  Result<std::optional<Known>> find(const std::string& id, std::int64_t& free_key) {
    const Sha256 hash = keyed_hash(shared_.secret, fmt::format("{}\n{}", outcome_.source.value, id));
    const auto digest = static_cast<std::int64_t>(first_word(hash, 1) >> 32);
    auto key = static_cast<std::int64_t>(first_word(hash));
    for (;; key = static_cast<std::int64_t>(static_cast<std::uint64_t>(key) + 1)) {  // two ids with one hash stand beside each other
      Query query(db_, "SELECT place, digest FROM keys WHERE source=? AND key=?", outcome_.source, key);
      if (!TRY(query.next())) break;
      if (query.null(0)) {
        if (query.integer(1) == digest) return Known{.place = 0, .key = key, .removed = true};
        continue;
      }
      const auto there = TRY(db_.text("SELECT coalesce(guid, url) FROM items WHERE place=?", query.integer(0)));
      if (there == id) return Known{.place = query.integer(0), .key = key, .removed = false};
    }
    free_key = key;
    return std::nullopt;
  }

  Status take(const NewItem& entry) {
    std::int64_t key = 0;
    const auto known = TRY(find(entry.item.id, key));
    std::string author;
    const std::string meta = meta_of(entry.item, author);
    const std::int64_t content = content_hash(entry.item, author, meta);
    if (!known) return add(entry, key, content, author, meta);
    ++result_.duplicates;
    if (known->removed) return {};
    return change(entry, known->place, content, author, meta);
  }

  Status add(const NewItem& entry, std::int64_t key, std::int64_t content, const std::string& author, const std::string& meta) {
    const Item& item = entry.item;
    const Time at = begun_ ? outcome_.now : published(item, outcome_.now);
    const std::int64_t place = TRY(places_.take(hour_of(at)));
    const ItemId id{next_id_++};
    if (id.value >= INT32_MAX)
      return fail(Code::too_large, "this database has given out every item id it has", {}, "export the subscriptions and begin a new one");
    const auto findings = findings_json(entry.verdict);
    TRY(
        db_.run("INSERT INTO items(place, id, source, received, content, title, url, guid, published, author, language, at, modified, meta, policy, findings) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                place, id, outcome_.source, outcome_.now, content, text(item.title), text(item.url),
                item.id == item.url ? std::nullopt : std::optional(item.id), item.date_published, text(author), text(item.language),
                at == outcome_.now ? std::nullopt : std::optional(at), item.date_modified, text(meta), policy(entry.verdict), text(findings)));
    TRY(db_.run("INSERT INTO keys(source, key, place) VALUES(?, ?, ?)", outcome_.source, key, place));
    const auto body = TRY(db_.codec().pack(item, shared_.dictionaries, db_));
    TRY(db_.run("INSERT INTO bodies(place, dict, z) VALUES(?, ?, ?)", place, body.dict, Blob{body.bytes}));
    for (const Stage stage : stages)
      TRY(db_.run("INSERT INTO outbox(stage, item, version, attempts, ready) VALUES(?, ?, 0, 0, 0)", static_cast<int>(stage), id));
    result_.stored_ids.push_back(id);
    new_places_.push_back(place);
    return {};
  }

  Status change(const NewItem& entry, std::int64_t place, std::int64_t content, const std::string& author, const std::string& meta) {
    const Item& item = entry.item;
    std::int64_t revision = 0;
    ItemId id;
    {
      Query query(db_, "SELECT id, content, revision, policy FROM items WHERE place=?", place);
      if (!TRY(query.next())) return fail(Code::corrupt, "an identity points at no item", db_.file(), "restore a backup: weir restore FILE");
      id = ItemId{query.integer(0)};
      revision = query.integer(2) + 1;
      if (query.integer(1) == content) {
        if (query.integer(3) >= entry.verdict.policy) return {};
        return db_.run("UPDATE items SET policy=?2, findings=?3 WHERE place=?1", place, policy(entry.verdict), text(findings_json(entry.verdict)));
      }
    }
    TRY(
        db_.run("UPDATE items SET content=?2, title=?3, url=?4, guid=?5, published=coalesce(?6, published), author=?7, language=?8, modified=?9, meta=?10, "
                "policy=?11, findings=?12, changed=?13, revision=?14 WHERE place=?1",
                place, content, text(item.title), text(item.url), item.id == item.url ? std::nullopt : std::optional(item.id), item.date_published,
                text(author), text(item.language), item.date_modified.value_or(outcome_.now), text(meta), policy(entry.verdict),
                text(findings_json(entry.verdict)), outcome_.now, revision));
    const auto body = TRY(db_.codec().pack(item, shared_.dictionaries, db_));
    TRY(db_.run("UPDATE bodies SET dict=?2, z=?3 WHERE place=?1", place, body.dict, Blob{body.bytes}));
    TRY(queue_work(db_, Stage::search, id, revision));
    TRY(queue_work(db_, Stage::encode, id, revision));
    result_.updated_ids.push_back(id);
    return {};
  }

  Status fill_boxes() {
    const auto n = static_cast<std::int64_t>(new_places_.size());
    result_.stored = new_places_.size();
    if (n == 0) return {};
    for (const UserId reader : readers_) {
      BoxEdit box(db_, reader);
      for (const std::int64_t place : new_places_) {
        Chunk* chunk = TRY(box.chunk(chunk_of(place)));
        chunk->member.set(slot_of(place));
        chunk->unread.set(slot_of(place));
      }
      TRY(box.flush());
      TRY(db_.run("UPDATE subscriptions SET unread=unread+?3, total=total+?3 WHERE user=?1 AND source=?2", reader, outcome_.source, n));
    }
    TRY(db_.run("UPDATE meta SET value=? WHERE key='next_id'", next_id_));
    TRY(add_count(db_, "items", n));
    for (const Stage stage : stages) TRY(add_count(db_, queued_name(stage), n));
    return db_.run("INSERT INTO arrivals(source, hour, stored) VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET stored=stored+?3", outcome_.source,
                   hour_of(outcome_.now), n);
  }

  Status save_source() {
    const FetchOutcome& o = outcome_;
    const auto blob = [](const std::optional<std::string>& s) { return s ? std::optional(Blob{*s}) : std::nullopt; };
    TRY(db_.run(
        "UPDATE sources SET title=coalesce(?2, title), home=coalesce(?3, home), description=coalesce(?4, description), language=coalesce(?5, language), "
        "etag=coalesce(?6, etag), last_modified=coalesce(?7, last_modified), health=?8, error=?9, failures=?10, next=?11, problem=?15, "
        "fetched=coalesce(?12, fetched), changed=coalesce(?13, changed), begun=begun OR ?14 WHERE id=?1",
        o.source, o.title, o.home_page_url, o.description, o.language, blob(o.etag), blob(o.last_modified), static_cast<int>(o.health), o.error, o.failures,
        o.next_at, o.fetched ? std::optional(o.now) : std::nullopt, new_places_.empty() ? std::nullopt : std::optional(o.now),
        !o.items.empty() && !o.unfinished, o.problem));
    if (o.wishes) {
      const auto ttl = o.wishes->ttl ? std::optional<std::int64_t>(o.wishes->ttl->count()) : std::nullopt;
      TRY(db_.run("UPDATE sources SET ttl=?2, skip_hours=?3, skip_days=?4 WHERE id=?1 AND (ttl IS NOT ?2 OR skip_hours<>?3 OR skip_days<>?4)", o.source, ttl,
                  static_cast<std::int64_t>(o.wishes->skip_hours), static_cast<std::int64_t>(o.wishes->skip_days)));
    }
    if (o.url && *o.url != url_ && !o.url->empty() && !TRY(db_.integer("SELECT id FROM sources WHERE url=?", *o.url)))
      TRY(db_.run("UPDATE sources SET url=?2 WHERE id=?1 AND kind=0", o.source, *o.url));
    return {};
  }

  static std::optional<std::string> text(const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); }
  static std::optional<std::int64_t> policy(const Verdict& verdict) { return verdict.policy == 0 ? std::nullopt : std::optional<std::int64_t>(verdict.policy); }

  Connection& db_;
  Shared& shared_;
  const FetchOutcome& outcome_;
  Places places_;
  bool begun_ = false, push_ = false;
  std::string url_;
  std::vector<UserId> readers_;
  std::vector<std::int64_t> new_places_;
  std::int64_t next_id_ = 1;
  FetchResult result_;
};

}  // namespace

Result<FetchResult> Writer::commit_fetch(const FetchOutcome& outcome) { return Intake(*db_, *shared_, outcome).run(); }

Result<FetchResult> Store::push(FetchOutcome outcome) {
  std::vector<NewItem> items = std::move(outcome.items);
  TRY(check_number(items.size()));
  const auto order = in_list_order(items, outcome.now, true);
  FetchResult whole{.stored = 0, .duplicates = items.size() - order.size(), .stored_ids = {}, .updated_ids = {}};
  std::size_t at = 0;
  do {
    const std::size_t end = std::min(at + shared_->options.push_piece, order.size());
    outcome.items.clear();
    for (; at < end; ++at) outcome.items.push_back(std::move(items[order[at]]));
    outcome.unfinished = end < order.size();
    const FetchResult part = TRY(write([&](Writer& writer) { return writer.commit_fetch(outcome); }));
    whole.stored += part.stored;
    whole.duplicates += part.duplicates;
    whole.stored_ids.insert(whole.stored_ids.end(), part.stored_ids.begin(), part.stored_ids.end());
    whole.updated_ids.insert(whole.updated_ids.end(), part.updated_ids.begin(), part.updated_ids.end());
  } while (at < order.size());
  return whole;
}

Status Writer::set_verdict(ItemId item, const Verdict& verdict, Time changed) {
  TRY(db_->run("UPDATE items SET policy=?2, findings=?3 WHERE id=?1 AND coalesce(changed, received)=?4", item, static_cast<std::int64_t>(verdict.policy),
               findings_json(verdict), changed));
  if (db_->changes() == 0) return fail(Code::not_found, "the item is gone, or its text is another by now", fmt::format("item {}", item.value));
  return {};
}

}  // namespace weir::store
