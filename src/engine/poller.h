// Sources are fetched here: what is due goes to the fetcher, its answers through the sandbox and guard into one commit with the next poll's time.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/queue.h"
#include "engine/engine.h"
#include "engine/parse_child.h"
#include "ingest/fetch.h"
#include "store/store.h"

namespace weir {

class Poller {
 public:
  using Done = std::function<void(const Result<store::FetchResult>&)>;

  // Borrows all of it.
  struct Ground {
    store::Store& store;
    Sandbox& sandbox;
    const guard::Guard& guard;
    const Clock& clock;
    std::function<void(SourceId, const store::FetchResult&)> stored;  // after each commit that brought something
    std::function<void(SourceId, Health)> changed_health;
  };
  static Result<std::unique_ptr<Poller>> open(Ground ground, const std::vector<std::string>& allow_net);
  ~Poller();

  void run(std::stop_token stop);  // the polling loop, on a thread of its own
  void stop();                     // the fetcher and the workers
  void wake();                     // something may be due

  // Fetches a source now. False when it is under way already.
  bool poll(const Source& source, FetchUrgency urgency, Done done);
  // One fetch that belongs to no source yet; waits for it.
  Result<FetchReply> fetch_now(FetchRequest request);

  // Looks for a source's icon: the first of the candidates that is one, else its host's default, else what its home page names. Returns at once.
  void fetch_icon(const Source& source, std::vector<std::string> candidates);
  double chance();  // in [0, 1), for schedules

  FetchCounters counters() const;
  std::size_t under_way() const;

 private:
  struct Arrived;   // a reply that waits for a worker
  struct Seeking {  // a source that looks for its icon
    SourceId source;
    std::vector<std::string> candidates;
    std::size_t at = 0;
    std::string page;  // its home, not looked at yet
  };
  struct Icon {  // what is at an address, for all that ask
    bool looking = true;
    std::string type, bytes;  // no type: no icon is there
    std::vector<Seeking> waiting;
  };

  explicit Poller(Ground ground);
  void ensure_fetching();  // the fetcher's thread and the workers start with the first fetch
  void work();
  void digest(Arrived arrived);
  void finish(Arrived& arrived, const store::FetchOutcome& result, const Status& committed, const store::FetchResult& stored,
              const std::vector<std::string>& icons);
  store::FetchOutcome outcome(const Arrived& arrived, std::vector<std::string>& icons);
  void seek_icon(Seeking seeking);
  void seek_on_page(Seeking seeking);      // asks for the page
  void take_page(const Arrived& arrived);  // goes on with the icons that it names
  bool hand_over(Arrived arrived);         // to the workers; false when they have stopped

  Ground ground_;
  std::unique_ptr<CurlFetcher> fetcher_;
  std::unique_ptr<Queue<Arrived>> arrived_;
  std::counting_semaphore<> committing_{64};
  std::once_flag fetching_;
  std::jthread fetch_thread_;
  std::vector<std::jthread> workers_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::condition_variable drained_;
  std::size_t arrived_bytes_ = 0;
  bool woken_ = false;
  std::set<SourceId> under_way_;
  std::unordered_map<std::string, Icon> icons_;  // by address
  std::uint64_t random_;
};

}  // namespace weir
