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

namespace guard {
class Guard;
}
namespace store {
class Store;
}

struct EngineOptions {
  std::filesystem::path data;  // DIR: the database, the lock, the socket
  bool model = true;           // --no-model: a plain, fast, chronological reader
  std::string model_name = "e5-small";
  std::vector<std::string> allow_net;  // CIDRs of private ranges that the operator allows
  bool poll = true;                    // false: nothing is fetched by itself
  bool create = true;                  // make DIR when it is not there
  std::string program;                 // weir's own file, which starts parsers again should their zygote be killed; empty: not
  std::size_t threads = 0;             // 0: WEIR_THREADS, else the machine's
};

struct AddSource {
  std::string url;            // of a feed, or of a page that links to one
  std::string title, folder;  // the reader's own, may be empty
  bool choose = false;        // of a page that declares several feeds, take none: give them to choose from
};

struct PageFeed {
  std::string url, title;  // the title may be empty
};

struct AddedSource {
  std::optional<Subscription> subscription;  // absent: choose from `feeds`
  std::vector<PageFeed> feeds;               // that the page declares, without the one that was subscribed to
};

struct SourceEdit {  // what is absent stays
  std::optional<std::string> title, folder, url;
  std::optional<std::int32_t> keep_days;  // 0: for ever; negative: the reader's own setting again
};

struct PushReport {
  std::int64_t stored = 0, duplicates = 0;
  std::vector<std::string> warnings = {};  // of a feed's file: what was mended or left out
};

struct ImportReport {
  std::int64_t added = 0, known = 0;
  std::vector<Error> refused;  // with the outline's place
};

struct MarkRead {  // exactly one of source, folder, all
  SourceId source;
  std::optional<std::string> folder;
  bool all = false;
  std::optional<Time> before;  // only what was received up to then
};

struct ItemPatch {
  std::optional<bool> read, starred;
};

struct Metric {                  // one line of /metrics
  std::string name, help, type;  // "weir_items_total", …, "counter" or "gauge"
  std::string labels;            // `state="ok"`, or empty
  double value = 0;
};

struct Diagnosis {   // one line of doctor
  std::string name;  // "disk", "model", "clock", …
  enum class State { ok, note, bad } state = State::ok;
  std::vector<Sentence> text;
  Sentence remedy;  // empty: there is nothing to do
};
// "text" and "remedy" in English; "says" and "remedy_says" are the names of their sentences.
json::object to_json(const Diagnosis& one);
// What can be told without opening the database, so also when that is what is wrong: disk, rights, clock, dns, cpu, model. Cost: the model's hash, ~ 0.1 s.
std::vector<Diagnosis> examine_machine(const EngineOptions& options);

class Engine {
 public:
  // Errors: refused (a database newer than this program), unavailable (DIR is owned by another process), io, corrupt.
  static Result<std::unique_ptr<Engine>> open(EngineOptions options);
  ~Engine();

  Status start();
  void stop();

  // Sources. add_source fetches before it answers (≤ 15 s): not_a_feed, timeout, refused, io, exists.
  Result<AddedSource> add_source(UserId user, const AddSource& what);
  Result<Subscription> add_push_source(UserId user, std::string title);
  Result<std::vector<Subscription>> sources(UserId user);
  Result<Subscription> source(UserId user, SourceId id);
  Result<Subscription> edit_source(UserId user, SourceId id, const SourceEdit& edit);
  Status remove_source(UserId user, SourceId id);
  Status refresh(UserId user, SourceId id);  // none: every subscription; returns when asked for, not when done
  Status refresh_and_wait(UserId user, SourceId id, const std::function<void(std::size_t done, std::size_t of)>& progress);
  Result<ImportReport> import_opml(UserId user, std::string_view bytes);
  Result<std::string> export_opml(UserId user);                                                // not yet guarded: seal it as an export
  Result<PushReport> import_feed(UserId user, std::string_view bytes, std::string_view name);  // a FILE: imported once
  Result<PushReport> push(UserId user, SourceId source, const std::vector<Item>& items);       // answers after the commit
  struct Icon {
    std::string type, bytes;
  };
  Result<Icon> icon(UserId user, SourceId id);

  // Reading.
  Result<Page> list(UserId user, const ItemQuery& query);
  Result<StoredItem> item(UserId user, ItemId id);
  Result<Score> why(UserId user, ItemId id);  // parts sum to the score, checked here
  Status mark(UserId user, ItemId id, const ItemPatch& patch);
  Result<std::int64_t> mark_read(UserId user, const MarkRead& what);
  Result<std::int64_t> signal(UserId user, std::vector<Signal> signals);  // how many were new
  struct Counts {
    std::int64_t unread = 0, starred = 0, total = 0;
  };
  Result<Counts> counts(UserId user);
  Result<json::object> settings(UserId user);
  Status set_settings(UserId user, json::object settings);
  // How many of the reader's signals stand behind "for you", and whether that is enough.
  struct Taste {
    int signals = 0;
    bool enough = false;
    bool model = false;
  };
  Result<Taste> taste(UserId user);
  // How far the encoder is: items since the start, and those that wait. Nothing without a model.
  struct Progress {
    std::int64_t encoded = 0, queued = 0;
  };
  Result<std::optional<Progress>> encoding();

  // Keeping.
  Status backup(const std::filesystem::path& file);
  std::vector<Metric> metrics();
  std::vector<Diagnosis> doctor(bool thorough);  // examine_machine() and what is in the database; thorough: reads all of it
  json::object flow(UserId user);                // what came in, by hour and source: the numbers behind /api/flow

  Events& events();
  const guard::Guard& guard() const;  // the only maker of Sealed<>
  Status database_in_place() const;   // io: the file was moved or replaced, and nothing is written any more
  store::Store& store();              // for engine/accounts.*
  const Clock& clock() const;
  const EngineOptions& options() const;

 private:
  struct Parts;
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace weir
