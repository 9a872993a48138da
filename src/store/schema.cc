#include "store/schema.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/hash.h"

namespace weir::store {
namespace {

// Append only: a released step is never edited. Times are UTC microseconds; `place` is position.h's; columns that are usually absent stand last.
constexpr const char* migrations[] = {
    // 1
    R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE COLLATE NOCASE, operator INTEGER NOT NULL, created INTEGER NOT NULL,
  password TEXT NOT NULL DEFAULT '', settings TEXT NOT NULL DEFAULT '{}', starred INTEGER NOT NULL DEFAULT 0);
CREATE TABLE links(token BLOB PRIMARY KEY, user INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions(token BLOB PRIMARY KEY, user INTEGER NOT NULL, created INTEGER NOT NULL, seen INTEGER NOT NULL, idle_until INTEGER NOT NULL,
  ends INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions(user);
CREATE TABLE tokens(id INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER NOT NULL, scope TEXT NOT NULL, source INTEGER NOT NULL, name TEXT NOT NULL,
  secret BLOB NOT NULL, created INTEGER NOT NULL, last_used INTEGER);
CREATE INDEX tokens_user ON tokens(user);

CREATE TABLE sources(id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, url TEXT UNIQUE, owner INTEGER, title TEXT NOT NULL DEFAULT '',
  home TEXT NOT NULL DEFAULT '', description TEXT NOT NULL DEFAULT '', language TEXT NOT NULL DEFAULT '', health INTEGER NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '', failures INTEGER NOT NULL DEFAULT 0, fetched INTEGER, changed INTEGER, next INTEGER,
  etag BLOB NOT NULL DEFAULT '', last_modified BLOB NOT NULL DEFAULT '', begun INTEGER NOT NULL DEFAULT 0);
CREATE INDEX sources_next ON sources(next) WHERE next IS NOT NULL;
CREATE TABLE icons(source INTEGER PRIMARY KEY, type TEXT NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE arrivals(source INTEGER, hour INTEGER, stored INTEGER NOT NULL, PRIMARY KEY(source, hour)) WITHOUT ROWID;
CREATE TABLE subscriptions(user INTEGER, source INTEGER, title TEXT NOT NULL DEFAULT '', folder TEXT NOT NULL DEFAULT '', keep INTEGER,
  unread INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0, purged INTEGER NOT NULL DEFAULT -1, PRIMARY KEY(user, source)) WITHOUT ROWID;
CREATE INDEX subscriptions_source ON subscriptions(source);

CREATE TABLE items(place INTEGER PRIMARY KEY, id INTEGER NOT NULL, source INTEGER NOT NULL, received INTEGER NOT NULL, content INTEGER NOT NULL,
  title TEXT, url TEXT, guid TEXT, published INTEGER, author TEXT, language TEXT, at INTEGER, modified INTEGER, meta TEXT, policy INTEGER, findings TEXT,
  changed INTEGER, revision INTEGER);
CREATE INDEX items_id ON items(id, source);
CREATE INDEX items_source ON items(source);
CREATE INDEX items_changed ON items(changed) WHERE changed IS NOT NULL;
CREATE TABLE bodies(place INTEGER PRIMARY KEY, dict INTEGER NOT NULL, z BLOB NOT NULL);
CREATE TABLE dicts(id INTEGER PRIMARY KEY, script INTEGER NOT NULL, z BLOB NOT NULL);
-- Identities: key is a keyed hash of (source, item id). place NULL: removed by retention; then digest (another part of the hash) stands for the id.
CREATE TABLE keys(source INTEGER, key INTEGER, place INTEGER, digest INTEGER, PRIMARY KEY(source, key)) WITHOUT ROWID;

CREATE TABLE box(user INTEGER, chunk INTEGER, member BLOB NOT NULL, unread BLOB, PRIMARY KEY(user, chunk)) WITHOUT ROWID;
CREATE INDEX box_unread ON box(user, chunk) WHERE unread IS NOT NULL;
CREATE TABLE starred(user INTEGER, place INTEGER, PRIMARY KEY(user, place)) WITHOUT ROWID;
CREATE TABLE signals(seq INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER NOT NULL, id TEXT NOT NULL, item INTEGER NOT NULL, kind TEXT NOT NULL,
  at INTEGER NOT NULL, dwell REAL);
CREATE UNIQUE INDEX signals_id ON signals(user, id);
CREATE INDEX signals_user ON signals(user, seq);
CREATE INDEX signals_item ON signals(item);

CREATE TABLE outbox(stage INTEGER, item INTEGER, version INTEGER NOT NULL, attempts INTEGER NOT NULL, ready INTEGER NOT NULL, PRIMARY KEY(stage, item)) WITHOUT ROWID;
CREATE TABLE dead(stage INTEGER, item INTEGER, version INTEGER NOT NULL, attempts INTEGER NOT NULL, error TEXT NOT NULL, PRIMARY KEY(stage, item)) WITHOUT ROWID;
CREATE TABLE counts(name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counts VALUES('items', 0), ('queued1', 0), ('queued2', 0), ('dead1', 0), ('dead2', 0);
CREATE TABLE models(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, n INTEGER NOT NULL DEFAULT 0);
CREATE TABLE vectors(model INTEGER, item INTEGER, bytes BLOB NOT NULL, PRIMARY KEY(model, item)) WITHOUT ROWID;

-- Words: titles with positions, everything (title and text) without. FTS5 merges nothing by itself (a commit of 160 ms now and then, of seconds with its
-- defaults): Writer::index_search merges in small pieces, and a level of 64 segments is the alarm that must never ring.
CREATE VIRTUAL TABLE ft USING fts5(title, content='', contentless_delete=1, tokenize='weir');
CREATE VIRTUAL TABLE f  USING fts5(body, content='', contentless_delete=1, detail=none, prefix='1', tokenize='weir set');
INSERT INTO ft(ft, rank) VALUES('automerge', 0);
INSERT INTO ft(ft, rank) VALUES('usermerge', 8);
INSERT INTO ft(ft, rank) VALUES('crisismerge', 64);
INSERT INTO f(f, rank) VALUES('automerge', 0);
INSERT INTO f(f, rank) VALUES('usermerge', 8);
INSERT INTO f(f, rank) VALUES('crisismerge', 64);
)sql",
    // 2: what feeds ask of the schedule
    R"sql(
ALTER TABLE sources ADD COLUMN ttl INTEGER;
ALTER TABLE sources ADD COLUMN skip_hours INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN skip_days INTEGER NOT NULL DEFAULT 0;
)sql",
    // 3: two more counters that were counted; the stars that go after an unsubscription, n of them from place `reached` on.
    R"sql(
ALTER TABLE users ADD COLUMN signals INTEGER NOT NULL DEFAULT 0;
UPDATE users SET signals=(SELECT count(*) FROM signals WHERE user=users.id);
ALTER TABLE subscriptions ADD COLUMN starred INTEGER NOT NULL DEFAULT 0;
UPDATE subscriptions SET starred=c.n FROM (SELECT s.user, i.source, count(*) AS n FROM starred s JOIN items i ON i.place=s.place GROUP BY 1, 2) c
  WHERE c.user=subscriptions.user AND c.source=subscriptions.source;
CREATE TABLE left_stars(user INTEGER, source INTEGER, reached INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(user, source)) WITHOUT ROWID;
)sql",
    // 4: the last failure by its name, for other languages than English
    R"sql(
ALTER TABLE sources ADD COLUMN problem TEXT NOT NULL DEFAULT '';
)sql",
};

std::uint32_t big_endian(const unsigned char* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

std::unexpected<Error> too_new(std::int32_t found, const std::string& file) {
  return fail(Code::refused,
              fmt::format("the database has schema {}, this Weir knows up to {}: it was made by a newer Weir; nothing was changed", found, newest_schema()),
              file, "use the newer Weir, or restore a backup that this one made");
}

}  // namespace

std::int32_t newest_schema() { return static_cast<std::int32_t>(std::size(migrations)); }

Result<std::optional<std::int32_t>> check_header(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return std::nullopt;
    return fail(Code::io, fmt::format("cannot be opened: {}", strerrordesc_np(errno)), file.string(), "give this user the right to read and write it");
  }
  std::array<unsigned char, 100> header{};
  const auto n = ::pread(fd, header.data(), header.size(), 0);
  ::close(fd);
  if (n == 0) return std::nullopt;
  if (n != static_cast<ssize_t>(header.size()) || std::memcmp(header.data(), "SQLite format 3", 16) != 0)
    return fail(Code::corrupt, "expected a database, found something else", file.string(), "move it away and put a backup in its place: weir restore FILE");
  const auto version = static_cast<std::int32_t>(big_endian(header.data() + 60));
  const auto application = static_cast<std::int32_t>(big_endian(header.data() + 68));
  if (application != application_id && !(application == 0 && version == 0))
    return fail(Code::corrupt, "expected Weir's database, found another program's", file.string(), "give another directory");
  if (version > newest_schema()) return too_new(version, file.string());
  return version;
}

namespace {

// Which of Weir's databases it is; a backup is another one than what it was made of. nothing: it holds nothing yet.
Result<std::optional<std::string>> identity(Connection& db) {
  if (TRY(db.integer("PRAGMA application_id")) == application_id)
    return TRY(db.text("SELECT value FROM meta WHERE key='secret'")).value_or("") + TRY(db.text("SELECT value FROM meta WHERE key='copy'")).value_or("");
  if (!TRY(db.integer("SELECT 1 FROM sqlite_schema"))) return std::nullopt;
  return fail(Code::corrupt, "expected Weir's database, found another program's", db.file(), "give another directory");
}

Result<std::optional<std::string>> identity_of(const std::filesystem::path& file, Access access, const char* vfs) {
  return identity(*TRY(Connection::open(file, access, vfs)));
}

}  // namespace

Status check_owner(const std::filesystem::path& file, const char* vfs) {
  auto log = file;
  log += "-wal";
  std::error_code absent;
  const bool logged = std::filesystem::file_size(log, absent) > 0 && !absent;
  const auto version = TRY(check_header(file));
  if (!version || (*version > 0 && !logged)) return {};
  const auto whole = identity_of(file, Access::read, vfs);
  const auto alone = logged ? identity_of(file, Access::alone, vfs) : whole;
  const bool unreadable = !whole && (whole.error().code == Code::corrupt || whole.error().code == Code::internal);
  // What a power cut left half in the file may not be readable alone: the log mends that.
  if (alone && *alone && (unreadable || (whole && *whole != *alone)))
    return fail(Code::corrupt, "the log beside the database belongs to another one; nothing was changed", log.string(),
                "move it away, or bring back the database that it belongs to");
  if (!whole) return std::unexpected(whole.error());
  return {};
}

Status migrate(Connection& connection, std::int32_t target) {
  const auto found = static_cast<std::int32_t>(TRY(connection.integer("PRAGMA user_version")).value_or(0));
  if (found > newest_schema()) return too_new(found, connection.file());
  for (std::int32_t step = found; step < target; ++step) {
    std::string sql = "BEGIN IMMEDIATE;";
    sql += migrations[step];
    sql += fmt::format(";PRAGMA user_version={};PRAGMA application_id={};", step + 1, application_id);
    Status done = connection.script(sql.c_str());
    if (done && step == 0) done = connection.run("INSERT INTO meta VALUES('secret', ?), ('next_id', 1)", Blob{random_bytes(32)});
    if (done) done = connection.script("COMMIT");
    if (!done) {
      if (connection.in_transaction()) (void)connection.script("ROLLBACK");
      return done;
    }
  }
  // The header in the file itself says the version, so that an older program can refuse without touching anything.
  if (found < target) return connection.checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
  return {};
}

}  // namespace weir::store
