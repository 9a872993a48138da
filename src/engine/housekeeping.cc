// Work that nobody waits for: the search index, retention, compression dictionaries, the metrics and the checks of doctor.
#include <malloc.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fstream>

#include "base/log.h"
#include "encode/models.h"
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
  auto next_purge = clock.steady() + std::chrono::minutes(1);
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

std::string megabytes(std::int64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

}  // namespace

std::vector<Metric> Engine::metrics() {
  Parts& own = *parts_;
  std::vector<Metric> out;
  const auto gauge = [&](std::string name, std::string help, double value, std::string labels = {}) { out.push_back({std::move(name), std::move(help), "gauge", std::move(labels), value}); };
  const auto counter = [&](std::string name, std::string help, double value, std::string labels = {}) { out.push_back({std::move(name), std::move(help), "counter", std::move(labels), value}); };
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
    gauge("weir_model_loaded", "1 when the encoder's weights are in memory", progress.loaded ? 1 : 0);
  }
  return out;
}

std::vector<Diagnosis> Engine::doctor(bool thorough) {
  using enum Diagnosis::State;
  Parts& own = *parts_;
  std::vector<Diagnosis> out;
  struct statvfs disk {};
  if (::statvfs(own.options.data.c_str(), &disk) == 0) {
    const auto free = static_cast<std::int64_t>(disk.f_bavail) * static_cast<std::int64_t>(disk.f_frsize);
    const bool low = free < (std::int64_t{500} << 20);
    out.push_back({"disk", low ? bad : ok, megabytes(free) + " free where " + own.options.data.string() + " is", low ? "make room: below 500 MB backups and clean-up may fail" : ""});
  }
  if (const auto sizes = own.store->reader()->sizes()) {
    out.push_back({"database", ok, fmt::format("{} items of {} sources in {} (log {}), schema {}", sizes->items, sizes->sources, megabytes(sizes->database_bytes), megabytes(sizes->wal_bytes), sizes->schema), ""});
    if (sizes->dead > 0) out.push_back({"work", bad, fmt::format("{} pieces of work failed five times and are set aside", sizes->dead), "see the log for the first failure; report it"});
    out.push_back({"search", sizes->search_queued > 10'000 ? note : ok, fmt::format("{} items wait for the search index", sizes->search_queued), ""});
  } else {
    out.push_back({"database", bad, sizes.error().text(), "restore a backup: weir restore FILE"});
  }
  if (thorough) {
    const Status whole = own.store->quick_check();
    out.push_back({"integrity", whole ? ok : bad, whole ? "the database is whole" : whole.error().text(), whole ? "" : "restore a backup: weir restore FILE"});
  }
  const auto rights = std::filesystem::status(own.options.data).permissions();
  const bool open_to_others = (rights & (std::filesystem::perms::group_all | std::filesystem::perms::others_all)) != std::filesystem::perms::none;
  out.push_back({"rights", open_to_others ? bad : ok, open_to_others ? "others on this machine may look into " + own.options.data.string() : "only its owner may look into " + own.options.data.string(),
                 open_to_others ? "chmod 700 " + own.options.data.string() : ""});
  const SandboxFeatures sandbox = own.sandbox->features();
  out.push_back({"sandbox", sandbox.sealed() && sandbox.landlock > 0 ? ok : note,
                 fmt::format("parser children: seccomp {}, Landlock {}, memory limit {}, CPU limit {}", sandbox.seccomp ? "on" : "off", sandbox.landlock ? fmt::format("ABI {}", sandbox.landlock) : "absent",
                             sandbox.memory_limit ? "on" : "off", sandbox.cpu_limit ? "on" : "off"),
                 sandbox.landlock > 0 ? "" : "this kernel has no Landlock: seccomp alone keeps files away; a newer kernel adds the second wall"});
  const bool sane_clock = own.clock.now() > from_micros(1'767'225'600'000'000);  // 2026-01-01
  out.push_back({"clock", sane_clock ? ok : bad, to_rfc3339(own.clock.now()), sane_clock ? "" : "the clock is wrong: set it, or let systemd-timesyncd do so"});
  std::ifstream resolv("/etc/resolv.conf");
  bool names = false;
  for (std::string line; std::getline(resolv, line);) names = names || line.starts_with("nameserver");
  out.push_back({"dns", names ? ok : note, names ? "a name server is set" : "/etc/resolv.conf names no server", names ? "" : "feeds by name cannot be fetched until one is there"});
  if (!own.options.model) {
    out.push_back({"model", note, "off (--no-model): newest and oldest, no ranking", ""});
  } else if (const auto folder = find_model(own.options.model_name); !folder) {
    out.push_back({"model", bad, folder.error().text(), "weir model fetch " + own.options.model_name});
  } else {
    const KnownModel* known = known_model(own.options.model_name);
    const Status whole = known ? check_model(*known, *folder, thorough ? Check::hashes : Check::sizes) : Status{};
    const Encoding::Progress progress = own.encoding->progress();
    out.push_back({"model", whole && progress.error.empty() ? ok : bad,
                   whole ? fmt::format("{} ({})", own.options.model_name, !progress.error.empty() ? progress.error : thorough ? "hash is right" : "sizes are right") : whole.error().text(),
                   whole ? "" : "weir model fetch " + own.options.model_name});
    if (const auto work = own.store->reader()->work(store::Stage::encode))
      out.push_back({"encoding", work->queued > 1'000 ? note : ok, fmt::format("{} items wait for their vector, {:.0f} a second", work->queued, progress.items_per_second), ""});
  }
  return out;
}

}  // namespace weir
