// SQLite, as little of it as the store needs: a Connection with its prepared statements, and Query, one run of a statement. store/*.cc only; sqlite3.h
// is included here and nowhere else. One thread at a time uses a Connection. Text and blobs are copied when bound.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/id.h"
#include "base/result.h"
#include "base/time.h"
#include "store/codec.h"

namespace weir::store {

inline constexpr int busy_timeout_ms = 2'000;

struct Blob {
  std::string_view bytes;
};

// alone: what the file says without its log, for nobody who writes meanwhile; copy: a file that nobody else has open, written without a log.
enum class Access { read, write, alone, copy };

class Connection {
 public:
  // Registers the tokenizer, sets the pragmas and reads them back. write creates the file when it is absent (pages of 8 kB, WAL).
  static Result<std::unique_ptr<Connection>> open(const std::filesystem::path& file, Access access, const char* vfs = nullptr, bool normal_sync = false);
  static Result<std::unique_ptr<Connection>> memory();  // with the tokenizer and nothing else: for tests of the word index
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status script(const char* sql);  // several statements, no results
  template <class... Args>
  Status run(const char* sql, const Args&... args);
  template <class... Args>
  Result<std::optional<std::int64_t>> integer(const char* sql, const Args&... args);  // the first column of the first row
  template <class... Args>
  Result<std::optional<std::string>> text(const char* sql, const Args&... args);

  std::int64_t changes() const { return sqlite3_changes64(db_); }
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
  int wal_pages() const { return wal_pages_; }   // after the last commit
  Status checkpoint(int mode);                   // SQLITE_CHECKPOINT_…
  std::unexpected<Error> error(int code) const;  // with SQLite's words and the file
  sqlite3* handle() { return db_; }
  Codec& codec() { return codec_; }
  const std::string& file() const { return file_; }

 private:
  friend class Query;
  struct Prepared {
    sqlite3_stmt* statement = nullptr;
    bool busy = false;
  };
  explicit Connection(sqlite3* db, std::string file) : db_(db), file_(std::move(file)) {}

  sqlite3* db_;
  std::string file_;
  int wal_pages_ = 0;
  Codec codec_;
  std::unordered_map<std::string_view, Prepared> prepared_;  // keyed by the literal's own text
};

// One run of one statement: bind, then next() until it says no. The statement goes back to its connection at the end.
class Query {
 public:
  // `sql` must be a literal (the cache keeps a view of it).
  template <class... Args>
  Query(Connection& connection, const char* sql, const Args&... args) : Query(connection, std::string_view(sql)) {
    int i = 0;
    (bind(++i, args), ...);
  }
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Result<bool> next();  // true: there is a row
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  bool null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::string_view text(int column) const;  // valid until next()
  std::string_view blob(int column) const;
  std::string string(int column) const { return std::string(text(column)); }
  Time time(int column) const { return from_micros(integer(column)); }
  std::optional<Time> maybe_time(int column) const { return null(column) ? std::nullopt : std::optional(time(column)); }

  // For a statement that runs many times in a loop: back to the start with other values.
  template <class... Args>
  void again(const Args&... args) {
    sqlite3_reset(statement_);
    int i = 0;
    (bind(++i, args), ...);
  }

 private:
  Query(Connection& connection, std::string_view sql);
  void bind(int i, std::int64_t value) { sqlite3_bind_int64(statement_, i, value); }
  void bind(int i, int value) { sqlite3_bind_int64(statement_, i, value); }
  void bind(int i, bool value) { sqlite3_bind_int64(statement_, i, value ? 1 : 0); }
  void bind(int i, double value) { sqlite3_bind_double(statement_, i, value); }
  void bind(int i, std::string_view value) {
    sqlite3_bind_text64(statement_, i, value.data() == nullptr ? "" : value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  void bind(int i, const std::string& value) { bind(i, std::string_view(value)); }
  void bind(int i, const char* value) { bind(i, std::string_view(value)); }
  void bind(int i, Blob value) {
    sqlite3_bind_blob64(statement_, i, value.bytes.data() == nullptr ? "" : value.bytes.data(), value.bytes.size(), SQLITE_TRANSIENT);
  }
  void bind(int i, Time value) { bind(i, to_micros(value)); }
  void bind(int i, std::nullopt_t) { sqlite3_bind_null(statement_, i); }
  template <class Tag>
  void bind(int i, Id<Tag> value) {
    bind(i, value.value);
  }
  template <class T>
  void bind(int i, const std::optional<T>& value) {
    if (value) bind(i, *value);
    else bind(i, std::nullopt);
  }

  Connection& connection_;
  sqlite3_stmt* statement_ = nullptr;
  Connection::Prepared* cached_ = nullptr;  // null: ours alone, finalised at the end
  int failed_ = SQLITE_OK;                  // of prepare
};

template <class... Args>
Status Connection::run(const char* sql, const Args&... args) {
  Query query(*this, sql, args...);
  while (TRY(query.next())) {}
  return {};
}

template <class... Args>
Result<std::optional<std::int64_t>> Connection::integer(const char* sql, const Args&... args) {
  Query query(*this, sql, args...);
  if (!TRY(query.next()) || query.null(0)) return std::nullopt;
  return query.integer(0);
}

template <class... Args>
Result<std::optional<std::string>> Connection::text(const char* sql, const Args&... args) {
  Query query(*this, sql, args...);
  if (!TRY(query.next()) || query.null(0)) return std::nullopt;
  return query.string(0);
}

}  // namespace weir::store
