#include "store/fault_vfs.h"

#include <sqlite3.h>

#include <cstring>
#include <mutex>

namespace weir::store::fault_vfs {
namespace {

struct State {
  std::mutex mutex;
  bool armed = false, fired = false;
  std::int64_t at = 0, seen = 0;
  Kind kind = Kind::io;
  Then then = Then::works_again;
};
State state;

enum class Call { other, write, sync };

// Whether this call is the one to fail.
bool fails(Call call) {
  const std::scoped_lock lock(state.mutex);
  if (!state.armed) return false;
  if ((state.kind == Kind::full || state.kind == Kind::short_write) && call != Call::write) return false;
  if (state.kind == Kind::sync && call != Call::sync) return false;
  ++state.seen;
  if (state.seen < state.at || (state.seen > state.at && state.then == Then::works_again)) return false;
  return state.fired = true;
}

Kind kind() {
  const std::scoped_lock lock(state.mutex);
  return state.kind;
}

struct File {
  sqlite3_file base;
  sqlite3_file* real;  // follows in the same memory
};

sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<File*>(file)->real; }

int close(sqlite3_file* f) { return real(f)->pMethods == nullptr ? SQLITE_OK : real(f)->pMethods->xClose(real(f)); }
int read(sqlite3_file* f, void* to, int n, sqlite3_int64 at) { return fails(Call::other) ? SQLITE_IOERR_READ : real(f)->pMethods->xRead(real(f), to, n, at); }
int write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
  if (!fails(Call::write)) return real(f)->pMethods->xWrite(real(f), from, n, at);
  if (kind() == Kind::full) return SQLITE_FULL;
  if (kind() == Kind::short_write) (void)real(f)->pMethods->xWrite(real(f), from, n / 2, at);
  return SQLITE_IOERR_WRITE;
}
int truncate(sqlite3_file* f, sqlite3_int64 size) { return fails(Call::other) ? SQLITE_IOERR_TRUNCATE : real(f)->pMethods->xTruncate(real(f), size); }
int sync(sqlite3_file* f, int flags) { return fails(Call::sync) ? SQLITE_IOERR_FSYNC : real(f)->pMethods->xSync(real(f), flags); }
int file_size(sqlite3_file* f, sqlite3_int64* size) { return fails(Call::other) ? SQLITE_IOERR_FSTAT : real(f)->pMethods->xFileSize(real(f), size); }
int lock(sqlite3_file* f, int level) { return real(f)->pMethods->xLock(real(f), level); }
int unlock(sqlite3_file* f, int level) { return real(f)->pMethods->xUnlock(real(f), level); }
int check_reserved(sqlite3_file* f, int* out) { return real(f)->pMethods->xCheckReservedLock(real(f), out); }
int control(sqlite3_file* f, int op, void* argument) { return real(f)->pMethods->xFileControl(real(f), op, argument); }
int sector_size(sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); }
int characteristics(sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); }
int shm_map(sqlite3_file* f, int region, int size, int extend, void volatile** out) {
  return fails(Call::other) ? SQLITE_IOERR_SHMMAP : real(f)->pMethods->xShmMap(real(f), region, size, extend, out);
}
int shm_lock(sqlite3_file* f, int offset, int n, int flags) { return real(f)->pMethods->xShmLock(real(f), offset, n, flags); }
void shm_barrier(sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); }
int shm_unmap(sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); }

const sqlite3_io_methods methods{2,           close,           read,    write,    truncate,    sync,      file_size, lock,   unlock, check_reserved, control,
                                 sector_size, characteristics, shm_map, shm_lock, shm_barrier, shm_unmap, nullptr,   nullptr};

sqlite3_vfs* below() { return sqlite3_vfs_find("unix"); }

int open(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out) {
  auto* made = reinterpret_cast<File*>(file);
  made->base.pMethods = nullptr;
  made->real = reinterpret_cast<sqlite3_file*>(made + 1);
  std::memset(static_cast<void*>(made->real), 0, static_cast<std::size_t>(below()->szOsFile));
  if (fails(Call::other)) return SQLITE_CANTOPEN;
  const int code = below()->xOpen(below(), path, made->real, flags, out);
  if (made->real->pMethods != nullptr) made->base.pMethods = &methods;
  return code;
}

int remove(sqlite3_vfs*, const char* path, int sync_dir) { return fails(Call::other) ? SQLITE_IOERR_DELETE : below()->xDelete(below(), path, sync_dir); }

}  // namespace

const char* name() {
  static sqlite3_vfs vfs = [] {
    sqlite3_initialize();
    sqlite3_vfs made = *below();  // what is not about files goes straight down
    made.szOsFile = static_cast<int>(sizeof(File)) + below()->szOsFile;
    made.pNext = nullptr;
    made.zName = "weir-fault";
    made.xOpen = open;
    made.xDelete = remove;
    return made;
  }();
  static const int registered = sqlite3_vfs_register(&vfs, 0);
  return registered == SQLITE_OK ? vfs.zName : nullptr;
}

void arm(std::int64_t call, Kind kind, Then then) {
  const std::scoped_lock lock(state.mutex);
  state.armed = true;
  state.fired = false;
  state.at = call;
  state.seen = 0;
  state.kind = kind;
  state.then = then;
}

void disarm() {
  const std::scoped_lock lock(state.mutex);
  state.armed = false;
}

bool fired() {
  const std::scoped_lock lock(state.mutex);
  return state.fired;
}

std::int64_t calls() {
  const std::scoped_lock lock(state.mutex);
  return state.seen;
}

}  // namespace weir::store::fault_vfs
