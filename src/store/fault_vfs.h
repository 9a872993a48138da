// The fault-injecting twin of the database's disk, for tests: SQLite's own VFS, of which one call fails. In the way of SQLite's I/O error tests: fail call
// 1, then 2, … until a run has no call left to fail. One for the whole process; any thread.
#pragma once

#include <cstdint>

namespace weir::store::fault_vfs {

enum class Kind {
  io,           // any call: SQLITE_IOERR
  full,         // a write: SQLITE_FULL, nothing written
  short_write,  // a write: half of it is written, then SQLITE_IOERR
  sync,         // fsync: SQLITE_IOERR
};

enum class Then { works_again, stays_broken };

const char* name();                                 // registers it on first use: StoreOptions::vfs
void arm(std::int64_t call, Kind kind, Then then);  // counts calls of that kind from 1
void disarm();
bool fired();          // since arm()
std::int64_t calls();  // of the armed kind, since arm()

}  // namespace weir::store::fault_vfs
