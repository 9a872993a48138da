#include "store/sqlite.h"

#include <fmt/format.h>

#include "store/tokenizer.h"

namespace weir::store {
namespace {

constexpr int writer_cache_kb = 8192, reader_cache_kb = 2048, page_size = 8192;

Code code_of(int sqlite) {
  switch (sqlite & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Code::corrupt;
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_PROTOCOL: return Code::io;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT: return Code::unavailable;
    case SQLITE_TOOBIG: return Code::too_large;
    default: return Code::internal;
  }
}

std::string remedy_of(int sqlite) {
  switch (sqlite & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return "stop Weir, move the file away and put a backup in its place: weir restore FILE";
    case SQLITE_FULL: return "free space on this disk; Weir goes on by itself";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN: return "give this user the right to write to the directory";
    case SQLITE_IOERR: return "look at the disk (dmesg, free space)";
    default: return {};
  }
}

int flags_of(Access access) {
  switch (access) {
    case Access::write: return SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    case Access::copy: return SQLITE_OPEN_READWRITE;
    case Access::alone: return SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
    case Access::read: break;
  }
  return SQLITE_OPEN_READONLY;
}

std::string immutable(std::string_view file) {
  std::string uri = "file:";
  for (const char c : file) {
    if (c == '%' || c == '?' || c == '#') uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else uri += c;
  }
  return uri + "?immutable=1";
}

}  // namespace

std::unexpected<Error> Connection::error(int code) const {
  const int extended = sqlite3_extended_errcode(db_);
  const bool same = (extended & 0xff) == (code & 0xff);
  return fail(code_of(code), fmt::format("the database says: {} ({})", same ? sqlite3_errmsg(db_) : sqlite3_errstr(code), same ? extended : code), file_,
              remedy_of(code));
}

Result<std::unique_ptr<Connection>> Connection::open(const std::filesystem::path& file, Access access, const char* vfs, bool normal_sync) {
  sqlite3* db = nullptr;
  const int opened =
      sqlite3_open_v2(access == Access::alone ? immutable(file.string()).c_str() : file.c_str(), &db, SQLITE_OPEN_NOMUTEX | flags_of(access), vfs);
  std::unique_ptr<Connection> connection(new Connection(db, file.string()));
  if (opened != SQLITE_OK) return connection->error(opened);
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, busy_timeout_ms);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  TRY(register_tokenizer(*connection));

  // Only who writes plays a log into the file.
  if (access != Access::write) sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  if (access == Access::copy) TRY(connection->script("PRAGMA journal_mode=MEMORY"));
  if (access == Access::write) TRY(connection->script(fmt::format("PRAGMA page_size={}; PRAGMA journal_mode=WAL", page_size).c_str()));
  TRY(connection->script(fmt::format("PRAGMA synchronous={}; PRAGMA cache_size=-{}; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA wal_autocheckpoint=0",
                                     normal_sync ? "NORMAL" : "FULL", access == Access::write ? writer_cache_kb : reader_cache_kb)
                             .c_str()));
  // Read back: what a pragma did not take must not go unseen.
  const auto mode = TRY(connection->text("PRAGMA journal_mode"));
  if (access == Access::write && mode != "wal")
    return fail(Code::io, fmt::format("the database cannot use a write-ahead log here (journal_mode is {})", mode.value_or("unknown")), file.string(),
                "use a local file system");
  CHECK(TRY(connection->integer("PRAGMA synchronous")) == (normal_sync ? 1 : 2));
  CHECK(TRY(connection->integer("PRAGMA mmap_size")).value_or(0) == 0);
  if (access == Access::write) {
    sqlite3_wal_hook(
        db,
        [](void* self, sqlite3*, const char*, int pages) {
          static_cast<Connection*>(self)->wal_pages_ = pages;
          return SQLITE_OK;
        },
        connection.get());
  }
  return connection;
}

Result<std::unique_ptr<Connection>> Connection::memory() {
  sqlite3* db = nullptr;
  const int opened = sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE, nullptr);
  std::unique_ptr<Connection> connection(new Connection(db, ":memory:"));
  if (opened != SQLITE_OK) return connection->error(opened);
  TRY(register_tokenizer(*connection));
  return connection;
}

Connection::~Connection() {
  for (auto& [sql, prepared] : prepared_) sqlite3_finalize(prepared.statement);
  sqlite3_close_v2(db_);
}

Status Connection::script(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code);
  return {};
}

Status Connection::checkpoint(int mode) {
  int log = 0, done = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, mode, &log, &done);
  if (code == SQLITE_OK && log <= done) wal_pages_ = 0;
  if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY) return error(code);  // busy: a reader is inside; the next one gets it
  return {};
}

Query::Query(Connection& connection, std::string_view sql) : connection_(connection) {
  auto& entry = connection.prepared_[sql];
  const auto prepare = [&](unsigned flags) {
    sqlite3_stmt* statement = nullptr;
    failed_ = sqlite3_prepare_v3(connection.db_, sql.data(), static_cast<int>(sql.size()), flags, &statement, nullptr);
    return statement;
  };
  if (entry.busy) {  // the same text inside itself
    statement_ = prepare(0);
    return;
  }
  if (entry.statement == nullptr) entry.statement = prepare(SQLITE_PREPARE_PERSISTENT);
  statement_ = entry.statement;
  entry.busy = true;
  cached_ = &entry;
}

Query::~Query() {
  if (cached_ == nullptr) {
    sqlite3_finalize(statement_);
    return;
  }
  if (statement_ != nullptr) {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  cached_->busy = false;
}

Result<bool> Query::next() {
  if (statement_ == nullptr) return connection_.error(failed_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return connection_.error(code);
}

std::string_view Query::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string_view Query::blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

}  // namespace weir::store
