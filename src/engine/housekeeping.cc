// Work that nobody waits for: the search index, retention, compression dictionaries; and the metrics.
#include <malloc.h>
#include <unistd.h>

#include <fstream>

#include "base/log.h"
#include "engine/engine.h"
#include "engine/parts.h"
#include "engine/threads.h"

namespace weir {

void Engine::Parts::wake_house() {
  const std::scoped_lock lock(house_mutex);
  house_work = true;
  house_wake.notify_all();
}

void Engine::Parts::keep_house(std::stop_token stop) {
  stand_back(5);
  house_work = true;  // what the last run left
  auto next_purge = clock.steady() + std::chrono::seconds(5);
  auto next_dictionaries = clock.steady() + std::chrono::seconds(20);
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(house_mutex);
      house_wake.wait_for(lock, stop, std::chrono::seconds(20), [&] { return house_work; });
      house_work = false;
    }
    // A short wait gathers what comes together: the index is cheaper by the thousand. Requests wait at most one piece.
    std::unique_lock lock(house_mutex);
    house_wake.wait_for(lock, stop, std::chrono::milliseconds(200), [] { return false; });
    lock.unlock();
    while (!stop.stop_requested()) {
      const auto indexed = store->write([](store::Writer& writer) { return writer.index_search(); });
      if (!indexed) log_error("house", "search index: {}", to_string(indexed.error().code));
      if (!indexed || *indexed == 0) break;
    }
    while (!stop.stop_requested() && store->write([](store::Writer& writer) { return writer.forget_stars(); }).value_or(false)) {}
    ::malloc_trim(0);  // what a burst of items needed goes back to the system
    if (clock.steady() >= next_dictionaries) {
      if (const auto trained = store->train_dictionaries(); !trained) log_warn("house", "dictionaries: {}", to_string(trained.error().code));
      next_dictionaries = clock.steady() + std::chrono::minutes(10);
    }
    if (clock.steady() >= next_purge) {
      while (!stop.stop_requested()) {
        const auto more = store->write([&](store::Writer& writer) { return writer.purge(clock.now()); });
        if (!more) log_error("house", "retention: {}", to_string(more.error().code));
        if (!more || !*more) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));  // others first
      }
      next_purge = clock.steady() + std::chrono::hours(1);
    }
  }
}

namespace {

std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace

std::vector<Metric> Engine::metrics() {
  Parts& own = *parts_;
  std::vector<Metric> out;
  const auto gauge = [&](std::string name, std::string help, double value, std::string labels = {}) {
    out.push_back({std::move(name), std::move(help), "gauge", std::move(labels), value});
  };
  const auto counter = [&](std::string name, std::string help, double value, std::string labels = {}) {
    out.push_back({std::move(name), std::move(help), "counter", std::move(labels), value});
  };
  if (const auto sizes = own.store->reader()->sizes()) {
    gauge("weir_items", "Items kept", static_cast<double>(sizes->items));
    gauge("weir_sources", "Sources known", static_cast<double>(sizes->sources));
    gauge("weir_users", "Users", static_cast<double>(sizes->users));
    gauge("weir_database_bytes", "Size of the database file", static_cast<double>(sizes->database_bytes));
    gauge("weir_wal_bytes", "Size of the write-ahead log", static_cast<double>(sizes->wal_bytes));
    gauge("weir_search_queued", "Items that search has not indexed yet", static_cast<double>(sizes->search_queued));
    gauge("weir_encode_queued", "Items that wait for their vector", static_cast<double>(sizes->encode_queued));
    gauge("weir_work_dead", "Pieces of work that failed too often", static_cast<double>(sizes->dead));
  }
  const store::WriterStats written = own.store->writer_stats();
  const auto seconds = [](Duration d) { return std::chrono::duration<double>(d).count(); };
  counter("weir_commits_total", "Commits since the start", static_cast<double>(written.commits));
  gauge("weir_longest_commit_seconds", "The longest commit since the start", seconds(written.longest_commit));
  gauge("weir_longest_checkpoint_seconds", "The longest checkpoint since the start, after its answers", seconds(written.longest_checkpoint));
  const FetchCounters fetched = own.poller->counters();
  counter("weir_fetches_total", "Fetches begun", static_cast<double>(fetched.started));
  counter("weir_fetch_replies_total", "Fetches answered", static_cast<double>(fetched.replies));
  counter("weir_fetch_errors_total", "Fetches that failed", static_cast<double>(fetched.errors));
  counter("weir_fetch_refused_total", "Connections that the dialer refused", static_cast<double>(fetched.refused));
  counter("weir_fetch_bytes_total", "Bytes received from sources", static_cast<double>(fetched.wire_bytes));
  gauge("weir_fetch_in_flight", "Fetches under way", static_cast<double>(fetched.in_flight));
  gauge("weir_parser_processes", "Parser processes alive", static_cast<double>(own.sandbox->processes()));
  gauge("weir_resident_bytes", "Resident memory of the server process", static_cast<double>(resident_bytes()));
  if (own.encoding) {
    const Encoding::Progress progress = own.encoding->progress();
    counter("weir_encoded_total", "Items encoded since the start", static_cast<double>(progress.encoded));
    gauge("weir_encode_items_per_second", "Speed of encoding", progress.items_per_second);
    counter("weir_encode_cache_hits_total", "Texts whose vector was still in memory", static_cast<double>(progress.cache.hits));
    counter("weir_encode_cache_misses_total", "Texts that were encoded", static_cast<double>(progress.cache.misses));
    gauge("weir_encode_cache_entries", "Vectors kept in memory", static_cast<double>(progress.cache.entries));
    gauge("weir_model_loaded", "1 when the encoder's weights are in memory", progress.loaded ? 1 : 0);
  }
  return out;
}

}  // namespace weir
