// The tables, as a list of migrations that only grows. store/*.cc only.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "store/sqlite.h"

namespace weir::store {

inline constexpr std::int32_t application_id = 0x57656972;  // "Weir", in the file's header

std::int32_t newest_schema();

// What the first 100 bytes of a database file say, without opening it. nothing: no such file, or empty.
// Errors: corrupt (not a database, or not Weir's), refused (made by a newer Weir: both versions named).
Result<std::optional<std::int32_t>> check_header(const std::filesystem::path& file);

// Whose database it is, its log (FILE-wal) read with it, before anything is written. SQLite plays any log that lies there into the file, also one that
// another database left. Errors: corrupt (another program's; the log is another database's: it is named), io.
Status check_owner(const std::filesystem::path& file, const char* vfs = nullptr);

// Brings the schema to `target`, each step in its own transaction; an interrupted step is as if it had not begun. Errors: refused, io, corrupt.
Status migrate(Connection& connection, std::int32_t target = newest_schema());

}  // namespace weir::store
