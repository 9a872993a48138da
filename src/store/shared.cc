#include "store/shared.h"

#include <fmt/format.h>

#include <bit>

#include "base/json.h"

namespace weir::store {

Sha256 keyed_hash(std::string_view secret, std::string_view bytes) {
  std::string keyed(secret);
  keyed += bytes;
  return sha256(keyed);
}

std::uint64_t first_word(const Sha256& hash, std::size_t word) {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < 8; ++i) out = out << 8 | hash[word * 8 + i];
  return out;
}

Result<Snapshot> Snapshot::take(Connection& connection) {
  TRY(connection.run("BEGIN"));
  return Snapshot(connection);
}

Snapshot::~Snapshot() {
  if (connection_ != nullptr && connection_->in_transaction()) (void)connection_->run("COMMIT");
}

Result<Connection*> Reader::db() {
  if (*connection_ == nullptr) *connection_ = TRY(Connection::open(shared_->file, Access::read, shared_->options.vfs));
  return connection_->get();
}

// ---- chunks -------------------------------------------------------------------------------------------------------------------------------------

Result<const Chunk*> Box::chunk(std::int64_t number) {
  if (number == number_) return &chunk_;
  Query query(connection_, "SELECT member, unread FROM box WHERE user=? AND chunk=?", user_, number);
  chunk_ = {};
  number_ = -1;
  if (TRY(query.next())) chunk_ = {Bits(query.blob(0)), Bits(query.blob(1))};
  number_ = number;
  return &chunk_;
}

Result<BoxEdit::Entry*> BoxEdit::load(std::int64_t number) {
  const auto [at, fresh] = entries_.try_emplace(number);
  if (fresh) {
    Query query(connection_, "SELECT member, unread FROM box WHERE user=? AND chunk=?", user_, number);
    if (TRY(query.next())) at->second = {{Bits(query.blob(0)), Bits(query.blob(1))}, false, true};
  }
  return &at->second;
}

Result<Chunk*> BoxEdit::chunk(std::int64_t number) {
  Entry* entry = TRY(load(number));
  entry->changed = true;
  return &entry->chunk;
}

Result<const Chunk*> BoxEdit::look(std::int64_t number) { return &TRY(load(number))->chunk; }

Status BoxEdit::save(std::int64_t number, Entry& entry) {
  if (!entry.changed) return {};
  entry.changed = false;
  if (entry.chunk.member.none()) return connection_.run("DELETE FROM box WHERE user=? AND chunk=?", user_, number);
  const std::string member = entry.chunk.member.bytes();
  std::optional<Blob> unread;
  const std::string unread_bytes = entry.chunk.unread.bytes();
  if (!unread_bytes.empty()) unread = Blob{unread_bytes};
  if (entry.there) return connection_.run("UPDATE box SET member=?3, unread=?4 WHERE user=?1 AND chunk=?2", user_, number, Blob{member}, unread);
  entry.there = true;
  return connection_.run("INSERT OR REPLACE INTO box(user, chunk, member, unread) VALUES(?, ?, ?, ?)", user_, number, Blob{member}, unread);
}

Status BoxEdit::flush() {
  for (auto& [number, entry] : entries_) TRY(save(number, entry));
  return {};
}

// ---- items --------------------------------------------------------------------------------------------------------------------------------------

std::string findings_json(const Verdict& verdict) {
  json::array out;
  for (const Finding& f : verdict.findings) out.push_back(json::array{f.kind, f.rule, f.field, f.start, f.end, f.view, static_cast<int>(f.action)});
  if (out.empty() && verdict.action == Action::pass) return {};
  return json::serialize(json::array{static_cast<int>(verdict.action), std::move(out)});
}

Result<Verdict> verdict_of(std::int64_t policy, std::string_view findings) {
  Verdict verdict{.action = Action::pass, .findings = {}, .policy = static_cast<std::uint32_t>(policy)};
  if (findings.empty()) return verdict;
  const auto value = TRY(parse_json(findings));
  const auto broken = fail(Code::corrupt, "a kept verdict cannot be read");
  if (!value.is_array() || value.get_array().size() != 2 || !value.get_array()[0].is_int64() || !value.get_array()[1].is_array()) return broken;
  const auto action = [](const json::value& v) { return static_cast<Action>(std::clamp<std::int64_t>(v.as_int64(), 0, static_cast<int>(Action::block))); };
  verdict.action = action(value.get_array()[0]);
  for (const json::value& entry : value.get_array()[1].get_array()) {
    const auto* f = entry.if_array();
    if (f == nullptr || f->size() != 7) return broken;
    for (const std::size_t i : {0u, 1u, 2u, 5u})
      if (!(*f)[i].is_string()) return broken;
    for (const std::size_t i : {3u, 4u, 6u})
      if (!(*f)[i].is_int64()) return broken;
    const auto text = [&](std::size_t i) { return std::string((*f)[i].get_string()); };
    verdict.findings.push_back({.kind = text(0),
                                .rule = text(1),
                                .field = text(2),
                                .start = static_cast<std::size_t>((*f)[3].get_int64()),
                                .end = static_cast<std::size_t>((*f)[4].get_int64()),
                                .view = text(5),
                                .action = action((*f)[6])});
  }
  return verdict;
}

Result<StoredItem> read_item(Query& row) {
  StoredItem stored;
  stored.id = ItemId{row.integer(1)};
  stored.source = SourceId{row.integer(2)};
  const Time received = row.time(3);
  if (!row.null(12)) {  // the rarer fields, as the item's own JSON
    auto meta = parse_json(row.text(12));
    if (!meta || !meta->is_object()) return fail(Code::corrupt, "an item's fields cannot be read", fmt::format("item {}", stored.id.value));
    meta->get_object()["id"] = "here";
    stored.item = TRY(item_from_json(*meta));
  }
  Item& item = stored.item;
  item.title = row.string(4);
  item.url = row.string(5);
  item.id = row.null(6) ? item.url : row.string(6);
  item.date_published = row.maybe_time(7);
  if (!row.null(8)) item.authors = {{.name = row.string(8), .url = {}}};
  item.language = row.string(9);
  stored.at = row.maybe_time(10).value_or(received);
  item.date_modified = row.maybe_time(11);
  stored.changed = row.maybe_time(15).value_or(received);
  stored.verdict = TRY(verdict_of(row.null(13) ? 0 : row.integer(13), row.text(14)));
  return stored;
}

Status read_body(Connection& connection, Shared& shared, std::int64_t place, Item& item) {
  Query query(connection, "SELECT dict, z FROM bodies WHERE place=?", place);
  if (!TRY(query.next())) return {};
  return connection.codec().unpack(static_cast<int>(query.integer(0)), query.blob(1), item, shared.dictionaries, connection);
}

Result<Codec::Texts> look_at_body(Connection& connection, Shared& shared, std::int64_t place) {
  Query query(connection, "SELECT dict, z FROM bodies WHERE place=?", place);
  if (!TRY(query.next())) return Codec::Texts{};
  return connection.codec().look(static_cast<int>(query.integer(0)), query.blob(1), shared.dictionaries, connection);
}

// ---- counts and work ----------------------------------------------------------------------------------------------------------------------------

Status add_count(Connection& connection, std::string_view name, std::int64_t by) {
  if (by == 0) return {};
  return connection.run("UPDATE counts SET n=n+?2 WHERE name=?1", name, by);
}

Result<std::int64_t> count(Connection& connection, std::string_view name) {
  return TRY(connection.integer("SELECT n FROM counts WHERE name=?", name)).value_or(0);
}

std::string queued_name(Stage stage) { return "queued" + std::to_string(static_cast<int>(stage)); }
std::string dead_name(Stage stage) { return "dead" + std::to_string(static_cast<int>(stage)); }

Status queue_work(Connection& connection, Stage stage, ItemId item, std::int64_t version) {
  TRY(connection.run("INSERT OR IGNORE INTO outbox(stage, item, version, attempts, ready) VALUES(?, ?, ?, 0, 0)", static_cast<int>(stage), item, version));
  if (connection.changes() == 1) {
    TRY(add_count(connection, queued_name(stage), 1));
  } else {
    TRY(connection.run("UPDATE outbox SET version=?3, attempts=0, ready=0 WHERE stage=?1 AND item=?2", static_cast<int>(stage), item, version));
  }
  if (version == 0) return {};
  TRY(connection.run("DELETE FROM dead WHERE stage=? AND item=?", static_cast<int>(stage), item));
  return add_count(connection, dead_name(stage), -connection.changes());
}

Status delete_item(Connection& connection, Shared& shared, std::int64_t place) {
  std::int64_t source = 0, id = 0;
  std::string guid;
  {
    Query query(connection, "SELECT source, id, coalesce(guid, url) FROM items WHERE place=?", place);
    if (!TRY(query.next())) return {};
    source = query.integer(0);
    id = query.integer(1);
    guid = query.string(2);
  }
  const auto digest = static_cast<std::int64_t>(first_word(keyed_hash(shared.secret, fmt::format("{}\n{}", source, guid)), 1) >> 32);
  {
    // The chain from the id's own key on: the entry that points here is this item's.
    auto key = static_cast<std::int64_t>(first_word(keyed_hash(shared.secret, fmt::format("{}\n{}", source, guid))));
    for (;; key = static_cast<std::int64_t>(static_cast<std::uint64_t>(key) + 1)) {
      Query query(connection, "SELECT place FROM keys WHERE source=? AND key=?", source, key);
      if (!TRY(query.next())) break;
      if (query.null(0) || query.integer(0) != place) continue;
      TRY(connection.run("UPDATE keys SET place=NULL, digest=?3 WHERE source=?1 AND key=?2", source, key, digest));
      break;
    }
  }
  TRY(connection.run("DELETE FROM items WHERE place=?", place));
  TRY(connection.run("DELETE FROM bodies WHERE place=?", place));
  TRY(connection.run("DELETE FROM ft WHERE rowid=?", place));
  TRY(connection.run("DELETE FROM f WHERE rowid=?", place));
  for (const Stage stage : {Stage::search, Stage::encode}) {
    TRY(connection.run("DELETE FROM outbox WHERE stage=? AND item=?", static_cast<int>(stage), id));
    TRY(add_count(connection, queued_name(stage), -connection.changes()));
    TRY(connection.run("DELETE FROM dead WHERE stage=? AND item=?", static_cast<int>(stage), id));
    TRY(add_count(connection, dead_name(stage), -connection.changes()));
  }
  // What somebody liked is still needed to know what that reader likes.
  if (!TRY(connection.integer("SELECT 1 FROM signals WHERE item=? LIMIT 1", id))) {
    Query models(connection, "SELECT id FROM models");
    while (TRY(models.next())) {
      TRY(connection.run("DELETE FROM vectors WHERE model=? AND item=?", models.integer(0), id));
      if (connection.changes() == 1) TRY(connection.run("UPDATE models SET n=n-1 WHERE id=?", models.integer(0)));
    }
  }
  return add_count(connection, "items", -1);
}

}  // namespace weir::store
