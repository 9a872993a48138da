#include "store/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>

#include "base/log.h"
#include "store/schema.h"
#include "store/shared.h"

namespace weir::store {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int checkpoint_pages = 1'000;          // 8 MB of log: into the file
constexpr int checkpoint_pages_at_last = 8'000;  // readers were always inside: wait for a gap
constexpr std::size_t dictionary_bytes = 64u << 10, enough_samples = 1'500, most_samples = 2'000, sample_bytes = 4'096;

std::string reason() { return strerrordesc_np(errno); }

Status sync_path(const std::filesystem::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  const bool done = fd >= 0 && ::fsync(fd) == 0;
  const std::string why = reason();
  if (fd >= 0) ::close(fd);
  if (!done) return fail(Code::io, fmt::format("cannot be brought to the disk: {}", why), path.string());
  return {};
}

std::optional<std::pair<dev_t, ino_t>> identity_of(const std::filesystem::path& file) {
  struct stat is{};
  if (::stat(file.c_str(), &is) != 0) return std::nullopt;
  return std::pair(is.st_dev, is.st_ino);
}

// quick_check or integrity_check over a connection of its own.
Status check(const std::filesystem::path& file, const char* vfs, const char* pragma) {
  const auto connection = TRY(Connection::open(file, Access::read, vfs));
  const auto found = TRY(connection->text(pragma));
  if (found == "ok") return {};
  return fail(Code::corrupt, fmt::format("the database is damaged: {}", found.value_or("no answer")), file.string(),
              "stop Weir and restore a backup: weir restore FILE");
}

}  // namespace

// ---- lock ---------------------------------------------------------------------------------------------------------------------------------------

Result<DirLock> DirLock::take(const std::filesystem::path& dir) {
  std::error_code ignored;
  if (!std::filesystem::exists(dir, ignored)) {
    std::filesystem::create_directories(dir, ignored);
    ::chmod(dir.c_str(), 0700);
  }
  const auto path = dir / "lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Code::io, fmt::format("cannot be opened: {}", reason()), path.string(), "give this user the right to write to the directory");
  DirLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(Code::io, fmt::format("cannot be locked: {}", reason()), path.string(), "use a local file system");
    return fail(Code::unavailable, "another Weir owns this directory", holder(dir).value_or(path.string()), "use that one, or stop it first");
  }
  TRY(lock.say(fmt::format("pid {}", ::getpid())));
  return lock;
}

std::optional<std::string> DirLock::holder(const std::filesystem::path& dir) {
  const int fd = ::open((dir / "lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::optional<std::string> line;
  if (::flock(fd, LOCK_SH | LOCK_NB) != 0) {
    std::array<char, 512> bytes{};
    const auto n = ::pread(fd, bytes.data(), bytes.size(), 0);
    line.emplace(bytes.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    if (const auto end = line->find('\n'); end != std::string::npos) line->resize(end);
  }
  ::close(fd);
  return line;
}

Status DirLock::say(std::string_view line) {
  const std::string bytes = std::string(line) + "\n";
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return fail(Code::io, fmt::format("the lock cannot be written: {}", reason()), {}, "free space on this disk");
  return {};
}

DirLock::~DirLock() {
  if (fd_ >= 0) ::close(fd_);
}

// ---- open ---------------------------------------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& dir, StoreOptions options) {
  CHECK(sqlite3_libversion_number() >= 3051003);  // before it: the reset of a write-ahead log could corrupt (reliability.md §0.3)
  auto shared = std::make_unique<Shared>();
  shared->options = options;
  shared->file = dir / "weir.db";
  TRY(check_header(shared->file));  // refuses before anything is touched
  shared->lock = TRY(DirLock::take(dir));
  TRY(check_owner(shared->file, options.vfs));
  shared->writer = TRY(Connection::open(shared->file, Access::write, options.vfs, options.normal_sync));
  ::chmod(shared->file.c_str(), 0600);
  shared->identity = identity_of(shared->file);
  Connection& db = *shared->writer;
  TRY(migrate(db));
  shared->secret = TRY(db.text("SELECT value FROM meta WHERE key='secret'")).value_or("");
  if (shared->secret.size() != 32)
    return fail(Code::corrupt, "the database's own key is missing", shared->file.string(), "restore a backup: weir restore FILE");
  TRY(shared->dictionaries.load_current(db));
  return std::unique_ptr<Store>(new Store(std::move(shared)));
}

std::int32_t Store::schema_version() { return newest_schema(); }

Store::Store(std::unique_ptr<Shared> shared) : shared_(std::move(shared)) {}

Store::~Store() {
  std::deque<Job> left;
  {
    const std::scoped_lock lock(shared_->queue_mutex);
    CHECK(!shared_->running);
    left.swap(shared_->queue);
  }
  for (const Job& job : left) job.done(fail(Code::unavailable, "Weir is shutting down"));
}

DirLock& Store::lock() { return *shared_->lock; }

// ---- writing ------------------------------------------------------------------------------------------------------------------------------------

namespace {

Status run_guarded(const std::function<Status(Writer&)>& job, Writer& writer) {
  try {
    return job(writer);
  } catch (const std::exception& e) { return fail(Code::internal, fmt::format("a write failed: {}", e.what())); }
}

// Runs one job in its savepoint. False: the whole transaction is gone with it (the disk is full, say).
bool run_job(const std::function<Status(Writer&)>& job, Writer& writer, Connection& db, Status& answer) {
  answer = db.run("SAVEPOINT job");
  if (answer) answer = run_guarded(job, writer);
  if (!db.in_transaction()) return false;
  if (!answer && !db.run("ROLLBACK TO job")) return false;
  if (const Status released = db.run("RELEASE job"); !released) {
    if (answer) answer = released;
    return false;
  }
  return true;
}

}  // namespace

Status Shared::in_place() const {
  if (identity_of(file) == identity) return {};
  return fail(Code::io, "the database file was moved or replaced while Weir ran; nothing is written any more", file.string(),
              "stop Weir, put the file back, start again");
}

void Shared::execute(std::deque<Job> batch) {
  const auto begun = Steady::now();
  std::vector<std::pair<Job, Status>> ran;
  Status committed;
  {
    const std::scoped_lock holding(writing);
    Connection& db = *writer;
    Writer handle(*this, db);
    committed = in_place();
    if (committed) committed = db.run("BEGIN IMMEDIATE");
    // Each log begins with the page that says whose it is: check_owner compares it. (SQLite does not write what stays the same.)
    if (committed && db.wal_pages() == 0) committed = db.run("INSERT OR REPLACE INTO meta VALUES('log', randomblob(8))");
    while (committed) {
      if (batch.empty() && Steady::now() < begun + options.batch) {  // what came meanwhile shares this commit
        const std::scoped_lock queue_lock(queue_mutex);
        batch.swap(queue);
      }
      if (batch.empty()) break;
      auto& [job, answer] = ran.emplace_back(std::move(batch.front()), Status{});
      batch.pop_front();
      if (!run_job(job.run, handle, db, answer)) committed = answer ? Status(db.error(SQLITE_ABORT)) : answer;
    }
    if (committed) committed = db.run("COMMIT");
    if (!committed && db.in_transaction()) (void)db.run("ROLLBACK");
  }
  {
    const std::scoped_lock counting(stats_mutex);
    ++stats.commits;
    stats.jobs += static_cast<std::int64_t>(ran.size());
    stats.longest_commit = std::max(stats.longest_commit, std::chrono::duration_cast<Duration>(Steady::now() - begun));
  }
  for (auto& [job, answer] : ran) job.done(committed || !answer ? answer : committed);
  for (const Job& job : batch) job.done(committed);  // the transaction was gone before their turn
  checkpoint_when_due();
}

// After the answers, so that no answer waits for it. Readers are never waited for: while one is inside an old view the log grows, and the next try takes
// more; only a log that has grown long is worth asking for a moment without readers, and that no longer than a commit may take.
void Shared::checkpoint_when_due() {
  const std::scoped_lock holding(writing);
  if (writer->wal_pages() < checkpoint_pages) return;
  const auto begun = Steady::now();
  Status done = writer->checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  if (done && writer->wal_pages() >= checkpoint_pages_at_last) {
    sqlite3_busy_timeout(writer->handle(), 20);
    done = writer->checkpoint(SQLITE_CHECKPOINT_RESTART);
    sqlite3_busy_timeout(writer->handle(), busy_timeout_ms);
  }
  if (!done) log_warn("store", "checkpoint: {}", done.error().text());
  const std::scoped_lock counting(stats_mutex);
  ++stats.checkpoints;
  stats.longest_checkpoint = std::max(stats.longest_checkpoint, std::chrono::duration_cast<Duration>(Steady::now() - begun));
}

void Store::submit(std::function<Status(Writer&)> job, std::function<void(Status)> done) {
  std::unique_lock lock(shared_->queue_mutex);
  if (shared_->running) {
    if (shared_->queue.size() >= shared_->options.queue) {
      lock.unlock();
      done(fail(Code::unavailable, "too many writes are waiting", {}, "try again in a moment"));
      return;
    }
    shared_->queue.push_back({std::move(job), std::move(done)});
    shared_->queue_filled.notify_one();
    return;
  }
  lock.unlock();
  std::deque<Job> alone;
  alone.push_back({std::move(job), std::move(done)});
  shared_->execute(std::move(alone));
}

Status Store::run(const std::function<Status(Writer&)>& job) {
  CHECK(shared_->writer_thread.load() != std::this_thread::get_id());  // a job that waits for a job would wait for ever
  std::promise<Status> promise;
  auto answer = promise.get_future();
  submit(job, [&promise](Status status) { promise.set_value(std::move(status)); });
  return answer.get();
}

void Store::run_writer(std::stop_token stop) {
  std::unique_lock lock(shared_->queue_mutex);
  CHECK(!shared_->running);
  shared_->running = true;
  shared_->writer_thread = std::this_thread::get_id();
  while (true) {
    shared_->queue_filled.wait(lock, stop, [&] { return !shared_->queue.empty(); });
    if (shared_->queue.empty()) break;
    std::deque<Job> batch;
    batch.swap(shared_->queue);
    lock.unlock();
    shared_->execute(std::move(batch));
    lock.lock();
  }
  shared_->running = false;
  shared_->writer_thread = std::thread::id{};
}

// ---- reading ------------------------------------------------------------------------------------------------------------------------------------

Store::Lease Store::reader() {
  std::unique_lock lock(shared_->pool_mutex);
  const std::size_t most = std::max<std::size_t>(1, shared_->options.readers);
  shared_->pool_freed.wait(lock, [&] { return !shared_->idle.empty() || shared_->opened < most; });
  std::unique_ptr<Connection> connection;
  if (!shared_->idle.empty()) {
    connection = std::move(shared_->idle.back());
    shared_->idle.pop_back();
  } else {
    ++shared_->opened;
  }
  return {*this, std::move(connection)};
}

Store::Lease::Lease(Store& store, std::unique_ptr<Connection> connection)
    : store_(&store), connection_(std::move(connection)), reader_(*store.shared_, connection_) {}

Store::Lease::Lease(Lease&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)), connection_(std::move(other.connection_)), reader_(*store_->shared_, connection_) {}

Store::Lease::~Lease() {
  if (store_ == nullptr) return;
  Shared& shared = *store_->shared_;
  const std::scoped_lock lock(shared.pool_mutex);
  if (connection_ != nullptr) shared.idle.push_back(std::move(connection_));
  else --shared.opened;
  shared.pool_freed.notify_one();
}

// ---- keeping ------------------------------------------------------------------------------------------------------------------------------------

Status Store::backup(const std::filesystem::path& file) {
  std::error_code ignored;
  if (std::filesystem::exists(file, ignored)) return fail(Code::exists, "there is a file of this name already", file.string(), "choose another name");
  if (const auto folder = std::filesystem::absolute(file).parent_path(); !std::filesystem::is_directory(folder, ignored))
    return fail(Code::not_found, "there is no such folder", folder.string(), "make it, or choose another");
  auto part = file;
  part += ".part";
  std::filesystem::remove(part, ignored);
  const auto made = [&]() -> Status {
    {
      const auto connection = TRY(Connection::open(shared_->file, Access::read, shared_->options.vfs));
      TRY(connection->run("VACUUM INTO ?", part.string()));
    }
    // Another database from here on: the log of the one that it was made of does not fit it.
    TRY(TRY(Connection::open(part, Access::copy))->run("INSERT OR REPLACE INTO meta VALUES('copy', randomblob(16))"));
    ::chmod(part.c_str(), 0600);
    TRY(check(part, nullptr, "PRAGMA quick_check(1)"));
    TRY(sync_path(part, O_RDWR));
    std::error_code renamed;
    std::filesystem::rename(part, file, renamed);
    if (renamed) return fail(Code::io, fmt::format("cannot be put in its place: {}", renamed.message()), file.string());
    return sync_path(file.has_parent_path() ? file.parent_path() : std::filesystem::path("."), O_RDONLY | O_DIRECTORY);
  }();
  if (!made) std::filesystem::remove(part, ignored);
  return made;
}

Status Store::restore(const std::filesystem::path& file, const std::filesystem::path& dir) {
  if (!TRY(check_header(file)))
    return fail(Code::not_found, "there is no backup of this name, or it is empty", file.string(), "give a file that weir backup made");
  TRY(check_owner(file));
  TRY(check(file, nullptr, "PRAGMA integrity_check(1)"));
  const DirLock lock = TRY(DirLock::take(dir));
  const auto target = dir / "weir.db";
  std::error_code error;
  if (std::filesystem::exists(target, error))
    return fail(Code::exists, "this directory has a database already", target.string(), "move it away, or give an empty directory with --data");
  // A log that a database before this one left would be played into this one. It belongs to that: it is kept beside it.
  for (const char* left : {"weir.db-wal", "weir.db-shm"}) {
    if (!std::filesystem::exists(dir / left, error)) continue;
    std::filesystem::rename(dir / left, dir / (std::string(left) + ".old"), error);
    if (error) return fail(Code::io, fmt::format("cannot be moved away: {}", error.message()), (dir / left).string());
  }
  const auto part = dir / "weir.db.part";
  const auto log = std::filesystem::path(file.string() + "-wal");
  const auto done = [&]() -> Status {
    if (std::filesystem::exists(log) && std::filesystem::file_size(log) > 0) {  // no backup of ours, but a copy of a folder: the log is part of it
      std::filesystem::remove(part, error);
      TRY(TRY(Connection::open(file, Access::read))->run("VACUUM INTO ?", part.string()));
    } else {
      std::filesystem::copy_file(file, part, std::filesystem::copy_options::overwrite_existing, error);
    }
    if (error) return fail(Code::io, fmt::format("cannot be copied: {}", error.message()), part.string(), "free space on this disk");
    ::chmod(part.c_str(), 0600);
    TRY(sync_path(part, O_RDWR));
    std::filesystem::rename(part, target, error);
    if (error) return fail(Code::io, fmt::format("cannot be put in its place: {}", error.message()), target.string());
    return sync_path(dir, O_RDONLY | O_DIRECTORY);
  }();
  if (!done) std::filesystem::remove(part, error);
  return done;
}

Status Store::in_place() const { return shared_->in_place(); }
Status Store::quick_check() { return check(shared_->file, shared_->options.vfs, "PRAGMA quick_check(1)"); }
Status Store::integrity_check() { return check(shared_->file, shared_->options.vfs, "PRAGMA integrity_check(1)"); }

WriterStats Store::writer_stats() const {
  const std::scoped_lock counting(shared_->stats_mutex);
  return shared_->stats;
}

Status Store::checkpoint() {
  const std::scoped_lock lock(shared_->writing);
  return shared_->writer->checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
}

Result<bool> Store::train_dictionaries() {
  std::vector<std::string> samples[scripts];
  std::int64_t next = 0;
  {
    const auto db = TRY(Connection::open(shared_->file, Access::read, shared_->options.vfs));
    next = TRY(db->integer("SELECT value FROM meta WHERE key='next_id'")).value_or(0);
    const auto again_at = TRY(db->integer("SELECT value FROM meta WHERE key='train_at'")).value_or(static_cast<std::int64_t>(enough_samples));
    if (next <= again_at) return false;
    Query query(*db, "SELECT dict, z FROM bodies ORDER BY place DESC LIMIT ?", static_cast<std::int64_t>(3 * most_samples));
    Codec codec;
    while (TRY(query.next())) {
      const auto script = query.integer(0);
      if (script >= scripts || samples[script].size() >= most_samples) continue;  // made with a dictionary already
      Item item;
      TRY(codec.unpack(static_cast<int>(script), query.blob(1), item, shared_->dictionaries, *db));
      samples[script].push_back(framed(item).substr(0, sample_bytes));
    }
  }
  std::vector<std::pair<Script, int>> added;
  for (int script = 0; script < scripts; ++script) {
    if (shared_->dictionaries.current(static_cast<Script>(script)) >= scripts || samples[script].size() < enough_samples) continue;
    const auto dictionary = train(samples[script], dictionary_bytes);
    if (!dictionary) continue;  // texts too short or too alike: nothing to gain
    const auto id = TRY(write([&](Writer& writer) { return writer.add_dictionary(script, *dictionary); }));
    added.emplace_back(static_cast<Script>(script), static_cast<int>(id));
  }
  for (const auto& [script, id] : added) shared_->dictionaries.set_current(script, id);  // after the commit: no body before its dictionary
  TRY(write([&](Writer& writer) { return writer.set_training_mark(next * 2); }));
  return !added.empty();
}

}  // namespace weir::store
