// The whole way in one place: source → ingest → store → encode → rank → guard → reader. The Engine owns every thread, queue, retry and clock tick;
// doors (http, cli) and tests talk to it. Every call that touches a reader's things takes that reader's UserId.
//
// Threads: after open() everything may be called from any thread, and works without start() too (a command with no server running): then writes are
// done by the calling thread and nothing is polled. start() adds the writer, the fetcher, the poller, the indexer and the encoder; stop() drains
// them (≤ 10 s) and leaves the database checkpointed.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.h"
#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "engine/events.h"
#include "types/item.h"
#include "types/query.h"
#include "types/reader.h"
#include "types/score.h"
#include "types/sealed.h"
#include "types/signal.h"
#include "types/source.h"

namespace weir {

namespace guard { class Guard; }
namespace store { class Store; }

struct EngineOptions {
  std::filesystem::path data;            // DIR: the database, the lock, the socket
  bool model = true;                     // --no-model: a plain, fast, chronological reader
  std::string model_name = "e5-small";
  std::vector<std::string> allow_net;    // CIDRs of private ranges that the operator allows
  bool poll = true;                      // false: nothing is fetched by itself
  bool create = true;                    // make DIR when it is not there
  std::size_t threads = 0;               // 0: WEIR_THREADS, else the machine's
};

struct AddSource {
  std::string url;                       // of a feed, or of a page that links to one
  std::string title, folder;             // the reader's own, may be empty
};

struct SourceEdit {                      // what is absent stays
  std::optional<std::string> title, folder, url;
  std::optional<std::int32_t> keep_days;  // 0: the reader's own setting again
};

struct PushReport {
  std::int64_t stored = 0, duplicates = 0;
};

struct ImportReport {
  std::int64_t added = 0, known = 0;
  std::vector<Error> refused;            // with the outline's place
};

struct MarkRead {                        // exactly one of source, folder, all
  SourceId source;
  std::optional<std::string> folder;
  bool all = false;
  std::optional<Time> before;            // only what was received up to then
};

struct ItemPatch {
  std::optional<bool> read, starred;
};

struct Metric {                          // one line of /metrics
  std::string name, help, type;          // "weir_items_total", …, "counter" or "gauge"
  std::string labels;                    // `state="ok"`, or empty
  double value = 0;
};

struct Check {                           // one line of doctor
  std::string name;                      // "disk", "model", "clock", …
  enum class State { ok, note, bad } state = State::ok;
  std::string text, remedy;
};

class Engine {
 public:
  // Errors: refused (a database newer than this program), unavailable (DIR is owned by another process), io, corrupt.
  static Result<std::unique_ptr<Engine>> open(EngineOptions options);
  virtual ~Engine() = default;

  virtual Status start() = 0;
  virtual void stop() = 0;

  // Sources. add_source fetches before it answers (≤ 15 s): not_a_feed, timeout, refused, io, exists.
  virtual Result<Subscription> add_source(UserId user, const AddSource& what) = 0;
  virtual Result<Subscription> add_push_source(UserId user, std::string title) = 0;
  virtual Result<std::vector<Subscription>> sources(UserId user) = 0;
  virtual Result<Subscription> source(UserId user, SourceId id) = 0;
  virtual Result<Subscription> edit_source(UserId user, SourceId id, const SourceEdit& edit) = 0;
  virtual Status remove_source(UserId user, SourceId id) = 0;
  virtual Status refresh(UserId user, SourceId id) = 0;  // none: every subscription; returns when asked for, not when done
  virtual Status refresh_and_wait(UserId user, SourceId id, std::function<void(std::size_t done, std::size_t of)> progress) = 0;
  virtual Result<ImportReport> import_opml(UserId user, std::string_view bytes) = 0;
  virtual Result<std::string> export_opml(UserId user) = 0;                            // not yet guarded: seal it as an export
  virtual Result<PushReport> import_feed(UserId user, std::string_view bytes, std::string_view name) = 0;  // a FILE: imported once
  virtual Result<PushReport> push(UserId user, SourceId source, std::vector<Item> items) = 0;              // answers after the commit
  struct Icon { std::string type, bytes; };
  virtual Result<Icon> icon(UserId user, SourceId id) = 0;

  // Reading.
  virtual Result<Page> list(UserId user, const ItemQuery& query) = 0;
  virtual Result<StoredItem> item(UserId user, ItemId id) = 0;
  virtual Result<Score> why(UserId user, ItemId id) = 0;      // parts sum to the score, checked here
  virtual Status mark(UserId user, ItemId id, const ItemPatch& patch) = 0;
  virtual Result<std::int64_t> mark_read(UserId user, const MarkRead& what) = 0;
  virtual Result<std::int64_t> signal(UserId user, std::vector<Signal> signals) = 0;  // how many were new
  struct Counts { std::int64_t unread = 0, starred = 0, total = 0; };
  virtual Result<Counts> counts(UserId user) = 0;
  virtual Result<json::object> settings(UserId user) = 0;
  virtual Status set_settings(UserId user, json::object settings) = 0;
  // How many of the reader's signals stand behind "for you", and whether that is enough.
  struct Taste { int signals = 0; bool enough = false; bool model = false; };
  virtual Result<Taste> taste(UserId user) = 0;

  // Keeping.
  virtual Status backup(const std::filesystem::path& file) = 0;
  virtual std::vector<Metric> metrics() = 0;
  virtual std::vector<Check> doctor(bool thorough) = 0;
  virtual json::object flow(UserId user) = 0;                 // what came in, by hour and source: the numbers behind /api/flow

  virtual Events& events() = 0;
  virtual const guard::Guard& guard() const = 0;              // the only maker of Sealed<>
  virtual store::Store& store() = 0;                          // for engine/accounts.*
  virtual const Clock& clock() const = 0;
  virtual const EngineOptions& options() const = 0;
};

}  // namespace weir
