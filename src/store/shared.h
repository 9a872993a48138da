// What the parts of the store have in common. store/*.cc only.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/codec.h"
#include "store/position.h"
#include "store/search.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace weir::store {

struct Job {
  std::function<Status(Writer&)> run;
  std::function<void(Status)> done;
};

struct Shared {
  StoreOptions options;
  std::filesystem::path file;
  std::optional<std::pair<dev_t, ino_t>> identity;  // of the file that was opened
  std::optional<DirLock> lock;
  std::string secret;  // of this database: keys identities and cursors, so that nobody outside can make two ids meet
  Dictionaries dictionaries;
  PairMemory pairs;

  std::mutex writing;  // who holds it uses `writer`
  std::unique_ptr<Connection> writer;

  mutable std::mutex stats_mutex;
  WriterStats stats;

  std::mutex queue_mutex;
  std::condition_variable_any queue_filled;
  std::deque<Job> queue;
  bool running = false;
  std::atomic<std::thread::id> writer_thread;  // the loop's, while it runs

  std::mutex pool_mutex;
  std::condition_variable pool_freed;
  std::vector<std::unique_ptr<Connection>> idle;
  std::size_t opened = 0;

  Status in_place() const;
  void execute(std::deque<Job> batch);  // one commit; answers every job
  void checkpoint_when_due();
};

// 32 bytes that only this database can make from `bytes`.
Sha256 keyed_hash(std::string_view secret, std::string_view bytes);
std::uint64_t first_word(const Sha256& hash, std::size_t word = 0);

// One consistent view for several statements.
class Snapshot {
 public:
  static Result<Snapshot> take(Connection& connection);
  Snapshot(Snapshot&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Snapshot& operator=(Snapshot&&) = delete;
  ~Snapshot();

 private:
  explicit Snapshot(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

// One reader's chunks, the last one kept: walks go in order, so one is enough.
class Box {
 public:
  Box(Connection& connection, UserId user) : connection_(connection), user_(user) {}
  Result<const Chunk*> chunk(std::int64_t number);
  Result<bool> member(std::int64_t place) { return TRY(chunk(chunk_of(place)))->member.test(slot_of(place)); }
  Result<bool> unread(std::int64_t place) { return TRY(chunk(chunk_of(place)))->unread.test(slot_of(place)); }

 private:
  Connection& connection_;
  UserId user_;
  std::int64_t number_ = -1;
  Chunk chunk_;
};

// The same for changing: keeps the chunks it touched and writes those that changed. Forgetting to flush() loses the change, so it CHECKs.
class BoxEdit {
 public:
  BoxEdit(Connection& connection, UserId user) : connection_(connection), user_(user) {}
  Result<Chunk*> chunk(std::int64_t number);  // to be changed: it will be written
  Result<const Chunk*> look(std::int64_t number);
  Status flush();

 private:
  struct Entry {
    Chunk chunk;
    bool changed = false, there = false;
  };
  Result<Entry*> load(std::int64_t number);
  Status save(std::int64_t number, Entry& entry);
  Connection& connection_;
  UserId user_;
  std::unordered_map<std::int64_t, Entry> entries_;
};

// Reads an item's row (columns of item_columns, in that order) into `stored`, without marks.
#define WEIR_ITEM_COLUMNS "place, id, source, received, title, url, guid, published, author, language, at, modified, meta, policy, findings, changed"
Result<StoredItem> read_item(Query& row);
Status read_body(Connection& connection, Shared& shared, std::int64_t place, Item& item);
Result<Codec::Texts> look_at_body(Connection& connection, Shared& shared, std::int64_t place);  // valid until the connection's next body
std::string findings_json(const Verdict& verdict);
Result<Verdict> verdict_of(std::int64_t policy, std::string_view findings);

// Sources that nobody reads any more are not polled; purge takes them away.
Status stop_unread_sources(Connection& connection);

// Stars that an unsubscription left behind; see Writer::forget_stars.
Result<bool> forget_left_stars(Connection& connection, UserId user, SourceId source, std::size_t limit);

// counts: stored, not counted.
Status add_count(Connection& connection, std::string_view name, std::int64_t by);
Result<std::int64_t> count(Connection& connection, std::string_view name);
std::string queued_name(Stage stage);
std::string dead_name(Stage stage);

// Queues an item for a stage, or again when its text is another now.
Status queue_work(Connection& connection, Stage stage, ItemId item, std::int64_t version);
// Takes an item out of everything: text, words, vectors, work. Its identity stays as removed.
Status delete_item(Connection& connection, Shared& shared, std::int64_t place);

}  // namespace weir::store
