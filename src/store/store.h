// The store: everything that Weir remembers, in one SQLite file DIR/weir.db. It owns the SQL; nobody else writes any.
//
//   auto store = TRY(store::Store::open(dir));
//   std::jthread writer([&](std::stop_token stop) { store->run_writer(stop); });          // the engine's thread; a one-shot command needs none
//   auto id    = TRY(store->write([&](Writer& w) { return w.add_feed(url, now); }));      // returns after the commit: what it says is on disk
//   Page page  = TRY(store->reader()->items(user, query));                                 // any thread
//
// Threads: one writer connection, which also checkpoints; `readers` read-only connections, leased by reader(). Store itself may be called from any
// thread. A Writer is valid only inside its job, a Reader only while its lease lives.
// Durability: synchronous=FULL. Jobs that wait together share one commit (group commit); each runs in its own savepoint, so one that fails takes no
// other with it. A job's answer comes after the commit; when the commit fails every job of it gets that error and nothing of it is kept.
// Access: items are shared by the readers of a source. Whatever shows an item takes a UserId and sees only what is in that reader's box.
// Cost: a list page is chosen by index and bitmap, then its rows are read; counters are stored. No request's work grows with the archive.
// Times are passed in: the store has no clock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/id.h"
#include "base/result.h"
#include "base/time.h"
#include "types/item.h"
#include "types/matrix.h"
#include "types/query.h"
#include "types/reader.h"
#include "types/signal.h"
#include "types/source.h"
#include "types/verdict.h"

namespace weir::store {

class Connection;  // store/*.cc only
struct Shared;

// ---- people -----------------------------------------------------------------------------------------------------------------------------------

struct Session {
  Sha256 token{};  // of the cookie's value; the value itself is nowhere
  UserId user;
  Time created_at{}, seen_at{};
  Time idle_until{}, ends_at{};  // not valid from the earlier of the two
};

// ---- what comes in ----------------------------------------------------------------------------------------------------------------------------

struct NewItem {
  Item item;        // sanitised, valid UTF-8, `id` not empty
  Verdict verdict;  // of guard, over this content; kept beside it
};

// Work that an item still needs: queued in the same transaction that stores it, and again when its text changes.
enum class Stage : std::uint8_t { search = 1, encode = 2 };
inline constexpr Stage stages[] = {Stage::search, Stage::encode};  // a new one also needs its two rows of `counts`, by a migration

// What a fetch of a source ended in. Everything here is stored in one transaction: an ETag is never there without its items.
struct FetchOutcome {
  SourceId source;
  Time now{};                  // received
  bool fetched = true;         // the source answered (304 too): fetched_at = now; false: only health, error, failures, next_at
  std::vector<NewItem> items;  // in the feed's order
  std::optional<std::string> title, home_page_url, description, language;  // given: replaced
  std::optional<std::string> etag, last_modified;                          // given: replaced, "" forgets it; absent: kept
  std::optional<PollWishes> wishes;                                        // given: replaced
  std::optional<std::string> url;                                          // a permanent redirect's new address; not taken when another source has it
  Health health = Health::ok;
  std::string error, problem;  // as in Source
  std::int32_t failures = 0;
  std::optional<Time> next_at;  // none: not polled by itself
  bool unfinished = false;      // more of it follows in another commit (Store::push): the source's first is not over yet
};

// No poll is ever set later than this: the longest Retry-After (a week), a tenth more by chance, a week of skipped days.
inline constexpr Duration farthest_next = std::chrono::hours(24 * 16);

struct FetchResult {
  std::size_t stored = 0, duplicates = 0;  // what is new; everything else that came
  std::vector<ItemId> stored_ids;          // in list order, the oldest first
  std::vector<ItemId> updated_ids;         // duplicates whose text changed
};

// ---- what goes out ----------------------------------------------------------------------------------------------------------------------------

struct ItemRef {  // a StoredItem without its texts
  ItemId id;
  SourceId source;
  Time at{}, changed{};
  std::optional<Time> published;
  bool read = false, starred = false;
};
struct IdPage {
  std::vector<ItemRef> items;
  std::string cursor;
};  // no cursor on the last page

enum class Mark { read, unread, star, unstar };

struct MarkScope {  // neither: all
  SourceId source;
  std::optional<std::string> folder;
  std::optional<Time> before;  // received at or before; none: now
};

// ---- work -------------------------------------------------------------------------------------------------------------------------------------

struct Work {
  ItemId item;
  std::int64_t version = 0;   // to be given back: an item that changed meanwhile stays queued
  std::int32_t attempts = 0;  // this one included
};

struct WorkCounts {
  std::int64_t queued = 0, dead = 0;
};

struct SignalRow {
  Signal signal;
  std::int64_t order = 0;
};  // order: grows with every signal stored; holes are allowed

struct Arrivals {
  SourceId source;
  Time hour{};
  std::int64_t stored = 0;
};

struct Icon {
  std::string type, bytes;
};

struct WriterStats {  // of the writer since open, for /metrics
  std::int64_t commits = 0, jobs = 0, checkpoints = 0;
  Duration longest_commit{}, longest_checkpoint{};  // begin to committed; the log into the file
};

struct StoreSizes {  // of doctor
  std::int64_t items = 0, sources = 0, users = 0;
  std::int64_t database_bytes = 0, wal_bytes = 0, free_bytes = 0;  // free: pages inside the file that wait for use
  std::int64_t search_queued = 0, encode_queued = 0, dead = 0;
  std::optional<Time> newest;  // when the latest item came in
  std::int32_t schema = 0;
};

// ---- reading ----------------------------------------------------------------------------------------------------------------------------------

// One connection's view of what is committed. Every call sees one snapshot. Errors of all: io, corrupt.
class Reader {
 public:
  Reader(Shared& shared, std::unique_ptr<Connection>& connection) : shared_(&shared), connection_(&connection) {}  // a Store::Lease makes it

  // People. Errors: not_found.
  Result<std::vector<User>> users();
  Result<User> user(UserId id);
  Result<User> user_named(std::string_view name);
  Result<std::string> password_hash(UserId id);                // "" when there is none
  Result<Session> session(const Sha256& token, Time now);      // unauthorised: unknown, ended or expired
  Result<Token> token(std::int64_t id, const Sha256& secret);  // unauthorised: unknown, revoked or another secret (compared in constant time)
  Result<std::vector<Token>> tokens(UserId user);

  // Sources. due: fed by `next_at`, the longest overdue first; gone ones are not due. A time beyond farthest_next is due too: no schedule gives it, the
  // clock was wrong when it was written.
  Result<Source> source(SourceId id);
  Result<std::vector<Source>> due(Time now, std::size_t limit);
  Result<std::optional<Time>> next_due();                                   // the earliest next_at
  Result<std::vector<Time>> published(SourceId source, std::size_t limit);  // dates of the latest items, those that have one
  Result<std::optional<Icon>> icon(UserId user, SourceId id);               // not_found: not subscribed
  Result<std::vector<Subscription>> subscriptions(UserId user);             // by folder, then title; with counters
  Result<Subscription> subscription(UserId user, SourceId source);          // not_found: none, or another's
  Result<std::vector<SourceId>> sources_of(UserId user);
  Result<std::vector<UserId>> readers_of(SourceId source);
  Result<std::optional<UserId>> owner_of(SourceId push_source);  // who may push to it; nobody for feeds

  // Lists. Order newest and oldest go by `at`; with query.text, newest and oldest are the hits in that order and relevance ranks the newest 200 hits
  // and the title hits (the page's note says so). `ranked` is the engine's: invalid here. A page may be shorter than the limit and still have a
  // cursor when the search budget ran out; it is never empty with a cursor.
  // Errors: invalid (limit, cursor of another query or not ours, order), not_found (source, folder not of this reader).
  Result<Page> items(UserId user, const ItemQuery& query);
  Result<IdPage> ids(UserId user, const ItemQuery& query);                                             // limit up to 50,000; query.bodies does not matter
  Result<StoredItem> item(UserId user, ItemId id);                                                     // not_found: absent or not in this reader's box
  Result<std::vector<StoredItem>> items_by_id(UserId user, std::span<const ItemId> ids, bool bodies);  // those that are there, as asked; ≤ 10,000
  Result<std::int64_t> starred_count(UserId user);

  // Signals of this reader, the newest first; `before` (an order) pages on.
  Result<std::vector<SignalRow>> signals(UserId user, std::size_t limit, std::int64_t before = INT64_MAX);
  Result<std::int64_t> signal_count(UserId user);

  // What came in, by source and hour (UTC), the oldest first; hours with nothing are absent.
  Result<std::vector<Arrivals>> arrivals(UserId user, Time since);

  // For stages, not for readers: nothing here is shown to anybody without a UserId.
  Result<std::vector<std::optional<std::string>>> vectors(const ModelId& model, std::span<const ItemId> items);  // bytes as put, in the order asked
  Result<std::vector<StoredItem>> work_items(std::span<const ItemId> items);  // with bodies, without marks; those that are there
  Result<WorkCounts> work(Stage stage);
  Result<std::int64_t> vector_count(const ModelId& model);
  Result<std::optional<std::string>> value(std::string_view key);  // small states of the engine: Writer::set_value
  Result<StoreSizes> sizes();

 private:
  Result<Connection*> db();  // opened when it is first needed
  Shared* shared_;
  std::unique_ptr<Connection>* connection_;
};

// ---- writing ----------------------------------------------------------------------------------------------------------------------------------

// The writing half, inside a job. An Error undoes what this job did.
class Writer {
 public:
  Writer(Shared& shared, Connection& connection) : shared_(&shared), db_(&connection) {}  // the store makes it

  // People.
  Result<UserId> add_user(std::string_view name, Time now);      // the first is the operator; exists, invalid (1 to 64 bytes, no control characters)
  Status set_password_hash(UserId user, std::string_view hash);  // ends every session of the user
  Status set_settings(UserId user,
                      const json::object& settings);  // `keep_days` (0: for ever; absent: 365) and `keep_starred_days` (absent: for ever) are read here
  Status remove_user(UserId user);                    // with tokens, sessions, subscriptions, signals; the last operator stays: refused
  Status add_sign_in_link(UserId user, const Sha256& token, Time until);
  Result<UserId> use_sign_in_link(const Sha256& token, Time now);  // once; unauthorised
  Status add_session(const Session& session);
  Status touch_session(const Sha256& token, Time seen_at, Time idle_until);
  Status end_session(const Sha256& token);
  Status end_sessions(UserId user);
  Result<std::int64_t> add_token(const Token& token, const Sha256& secret);  // token.id does not matter; the id comes back
  Status touch_token(std::int64_t id, Time now);
  Status revoke_token(UserId user, std::int64_t id);  // not_found: none, or another's

  // Sources. A feed's url is there once: adding it again gives the same id.
  Result<SourceId> add_feed(std::string_view url, Time next_at);
  Result<SourceId> add_push(UserId owner, std::string_view title);  // subscribed at once; nobody else may subscribe
  // Everything the source has enters the box, its newest 100 items unread. exists: subscribed already; forbidden: another's push source.
  Status subscribe(UserId user, SourceId source, std::string_view title, std::string_view folder);
  Status edit_subscription(UserId user, SourceId source, const std::optional<std::string>& title, const std::optional<std::string>& folder,
                           std::optional<std::optional<std::int32_t>> keep_days = {});  // keep_days 0: for ever; nothing inside: the reader's own
  Status rename_folder(UserId user, std::string_view from, std::string_view to);        // "" is no folder
  // Marks and stars there go too, from every list at once; without readers the source goes at the next purge. Of more than `piece` stars the rows stay
  // for forget_stars().
  Status unsubscribe(UserId user, SourceId source);
  Result<bool> forget_stars();                                           // one bounded piece of them; true while there may be more
  Status move_feed(UserId user, SourceId source, std::string_view url);  // another address, same history; refused when others read it too, exists
  Status set_next(SourceId source, std::optional<Time> next_at);
  Status set_icon(SourceId source, std::string_view type, std::string_view bytes);

  // Items, fed and pushed. Identity is (source, item.id). A changed item keeps id, place, read and star; its date_modified is its own, else now.
  // Ids that retention removed stay away and count as duplicates. Errors: not_found (source), too_large (more than 5,000 items).
  // In the first commit of a source an item's place is min(published, received), so that a new feed does not bury the rest; afterwards: received.
  Result<FetchResult> commit_fetch(const FetchOutcome& outcome);
  // A verdict by newer rules over the text of `changed` (StoredItem's); not_found when the item is gone or its text is another by now.
  Status set_verdict(ItemId item, const Verdict& verdict, Time changed);

  // What changed, of those that are in this reader's box; ids of others' items are passed over.
  Result<std::vector<ItemId>> mark(UserId user, std::span<const ItemId> items, Mark mark);
  Result<std::int64_t> mark_all_read(UserId user, const MarkScope& scope);  // how many became read
  // Idempotent by (user, id). open and finish set read, star sets starred. not_found: an item that is not in the box. True when it is new.
  Result<bool> add_signal(UserId user, const Signal& signal);
  Status forget_signals(UserId user);  // unlearn everything

  // Work: the newest items first. A lease that ends unanswered is given again; after `max_attempts` the row is dead and stays for doctor.
  Result<std::vector<Work>> lease(Stage stage, std::size_t limit, Time now, Duration lease, std::int32_t max_attempts = 5);
  Status complete(Stage stage, std::span<const Work> done);
  Status give_back(Stage stage, std::span<const Work> failed, std::string_view error, Time again_at);
  Status put_vectors(const ModelId& model, std::span<const std::pair<ItemId, std::string>> vectors);
  // Queues up to `limit` items that have no vector of this model, from `before` downwards; answers where to go on, nothing when all are seen.
  Result<std::optional<ItemId>> queue_missing_vectors(const ModelId& model, std::optional<ItemId> before, std::size_t limit);
  Result<bool> forget_vectors_but(const ModelId& model, std::size_t limit);  // one bounded piece; true while there is more
  // Puts queued items into the full-text index, at most `limit` and about `budget` long; how many. 0: nothing is queued.
  Result<std::size_t> index_search(std::size_t limit = 500, Duration budget = std::chrono::milliseconds(25));

  // Retention, one bounded piece (about `limit` items); true while there is more. Removed ids are remembered.
  Result<bool> purge(Time now, std::size_t limit = 200);

  Status set_value(std::string_view key, std::string_view value);  // small states of the engine; "" removes

 private:
  friend class Store;
  Result<std::int64_t> add_dictionary(int script, std::string_view bytes);
  Status set_training_mark(std::int64_t next);
  Shared* shared_;
  Connection* db_;
};

// ---- the whole --------------------------------------------------------------------------------------------------------------------------------

// DIR/lock, held by flock(2) for as long as this lives: one process owns a DIR. The file says who: a line the owner chooses (its pid, its address).
class DirLock {
 public:
  static Result<DirLock> take(const std::filesystem::path& dir);               // makes DIR (0700); unavailable: held, the line of the holder in `where`
  static std::optional<std::string> holder(const std::filesystem::path& dir);  // the line, when somebody holds it
  Status say(std::string_view line);                                           // "pid 123" until said otherwise
  DirLock(DirLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DirLock& operator=(DirLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~DirLock();

 private:
  explicit DirLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

struct StoreOptions {
  std::size_t readers = 4;                         // read-only connections, opened when first needed; each up to 2 MB of cache
  std::size_t queue = 1'024;                       // jobs that may wait; more are refused (unavailable)
  Duration batch = std::chrono::milliseconds(20);  // a commit takes in no further job after this long
  std::size_t push_piece = 500;                    // items that one commit of a push stores
  std::size_t piece = 2'000;                       // stars that one commit of an unsubscription takes away
  const char* vfs = nullptr;                       // test: the fault-injecting twin (store/fault_vfs.h)
  bool normal_sync = false;                        // test: synchronous=NORMAL, the negative control of the power cut; never in the program
};

class Store {
 public:
  // Takes the lock of `dir`, makes or migrates the database, reads the pragmas back. ≤ 25 ms at a million items.
  // Errors: unavailable (served by another process), refused (made by a newer Weir: both versions named, nothing changed), corrupt, io.
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& dir, StoreOptions options = {});
  ~Store();  // waits for nothing: stop the writer loop first; queued jobs are answered `unavailable`
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  static std::int32_t schema_version();  // the newest this program knows

  DirLock& lock();

  // A read-only connection for as long as the lease lives; waits for a free one.
  class Lease {
   public:
    Lease(Lease&&) noexcept;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Reader* operator->() { return &reader_; }
    Reader& operator*() { return reader_; }

   private:
    friend class Store;
    Lease(Store& store, std::unique_ptr<Connection> connection);
    Store* store_;
    std::unique_ptr<Connection> connection_;
    Reader reader_;
  };
  Lease reader();

  // Runs `job` on the writer and returns its answer after the commit: on the loop's thread when run_writer() runs, else here. Never from inside a job.
  template <class Job>
  auto write(Job&& job) -> decltype(job(std::declval<Writer&>())) {
    using Answer = decltype(job(std::declval<Writer&>()));
    std::optional<Answer> answer;
    const Status committed = run([&](Writer& writer) -> Status {
      answer.emplace(job(writer));
      if (!*answer) return std::unexpected(answer->error());
      return {};
    });
    if (!committed) return std::unexpected(committed.error());
    return std::move(*answer);
  }
  // What is pushed: stored as commit_fetch() would, but in commits of `push_piece` items, between which others' writes go on. Answers after the last one.
  // An error leaves the pieces before it stored; sent again, those are duplicates and the result is the same. Errors: as commit_fetch.
  Result<FetchResult> push(FetchOutcome outcome);
  // write() without waiting: `done` runs on the writer's thread after the commit (or at once, here, when the queue is full or no loop runs).
  void submit(std::function<Status(Writer&)> job, std::function<void(Status)> done);

  // The writer's loop: takes what is queued, commits it together, answers. Returns when `stop` is asked for and the queue is empty.
  void run_writer(std::stop_token stop);

  // A consistent copy into `file` (which must not exist) while everything runs on; VACUUM INTO, then checked. Seconds for a million items.
  Status backup(const std::filesystem::path& file);
  // Puts a backup into `dir`, which must have no database. Checks it first: corrupt, refused (newer), exists.
  static Status restore(const std::filesystem::path& file, const std::filesystem::path& dir);
  // What was opened is still what lies there: io when somebody moved or replaced the file. What is written then would be lost, so nothing is. One stat.
  Status in_place() const;
  Status quick_check();      // reads everything: seconds at a million items; corrupt names what and says how to restore
  Status integrity_check();  // the slower one, indexes too
  // Trains a compression dictionary for a script that has enough new bodies and none yet; CPU work of a second on the calling thread, outside the
  // writer. True when one was added. Call it now and then.
  Result<bool> train_dictionaries();
  WriterStats writer_stats() const;
  Status checkpoint();  // at shutdown: the write-ahead log goes into the file

 private:
  explicit Store(std::unique_ptr<Shared> shared);
  Status run(const std::function<Status(Writer&)>& job);
  std::unique_ptr<Shared> shared_;
};

}  // namespace weir::store
