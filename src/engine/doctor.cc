// What can be wrong with this Weir and its machine, and the remedy of each.
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <system_error>

#include "encode/models.h"
#include "engine/engine.h"
#include "engine/parts.h"
#include "math/cpu.h"

namespace weir {
namespace {

using enum Diagnosis::State;
using std::filesystem::path;

constexpr std::int64_t least_free = std::int64_t{500} << 20;  // below it a backup, a merge of the search index or a long log may not fit

std::string megabytes(std::int64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

// Without the remedy, which has its own place here.
std::string said(const Error& error) { return error.where.empty() ? error.message : error.where + ": " + error.message; }

std::int64_t bytes_of(const path& file) {
  std::error_code none;
  const auto bytes = std::filesystem::file_size(file, none);
  return none ? 0 : static_cast<std::int64_t>(bytes);
}

Diagnosis disk(const path& data) {
  path there = data;  // DIR may not be there yet: then what will hold it
  std::error_code none;
  while (!std::filesystem::exists(there, none) && there.has_parent_path() && there != there.parent_path()) there = there.parent_path();
  struct statvfs disk{};
  if (::statvfs(there.c_str(), &disk) != 0)
    return {"disk", bad, fmt::format("{} cannot be looked at: {}", data.string(), std::generic_category().message(errno)), "check that the disk is mounted"};
  const auto free = static_cast<std::int64_t>(disk.f_bavail) * static_cast<std::int64_t>(disk.f_frsize);
  const std::int64_t database = bytes_of(data / "weir.db"), log = bytes_of(data / "weir.db-wal");
  const std::string text = fmt::format("{} uses {} (database {}, its log {}); {} are free there", data.string(), megabytes(database + log), megabytes(database),
                                       megabytes(log), megabytes(free));
  if (free < least_free) return {"disk", bad, text, fmt::format("make room: below {} a backup or cleaning up may fail", megabytes(least_free))};
  if (free < database) return {"disk", note, text, "a backup does not fit beside the database: write backups to another disk"};
  return {"disk", ok, text, ""};
}

Diagnosis rights(const path& data) {
  using std::filesystem::perms;
  const std::string name = data.string();
  std::error_code none;
  const auto status = std::filesystem::status(data, none);
  if (!std::filesystem::exists(status)) return {"rights", note, name + " is not there", "weir serve makes it; or name another folder with --data"};
  for (const path& one : {data, data / "weir.db", data / "lock"}) {
    if (!std::filesystem::exists(one, none) || ::access(one.c_str(), R_OK | W_OK) == 0) continue;
    const int error = errno;
    return {"rights", bad, fmt::format("{} cannot be written: {}", one.string(), std::generic_category().message(error)),
            error == EROFS ? "its file system is mounted read-only: mount -o remount,rw, or look in dmesg for the reason"
                           : fmt::format("run as the user that owns it, or: chown -R $(id -u) {}", name)};
  }
  if ((status.permissions() & (perms::group_all | perms::others_all)) != perms::none)
    return {"rights", bad, "others on this machine may look into " + name, "chmod 700 " + name};
  return {"rights", ok, "only its owner may look into " + name, ""};
}

Diagnosis time_of_day(Time now) {
  if (now < from_micros(1'767'225'600'000'000))
    return {"clock", bad, to_rfc3339(now) + " is in the past", "set the clock, or let systemd-timesyncd do so"};  // 2026-01-01
  timex kernel{};
  if (::adjtimex(&kernel) == TIME_ERROR)
    return {"clock", note, to_rfc3339(now) + ", not synchronised", "when it drifts, items seem old or new by as much: run systemd-timesyncd or chrony"};
  return {"clock", ok, to_rfc3339(now), ""};
}

Diagnosis names() {
  std::ifstream resolv("/etc/resolv.conf");
  for (std::string line; std::getline(resolv, line);)
    if (line.starts_with("nameserver")) return {"dns", ok, "a name server is set", ""};
  return {"dns", note, "/etc/resolv.conf names no server", "feeds by name cannot be fetched until it does"};
}

Diagnosis processor() {
  std::string here;  // best first
  for (const math::Row row : {math::Row::amx, math::Row::avx512, math::Row::avx2, math::Row::neon, math::Row::scalar})
    if (math::runs_here(row)) here += (here.empty() ? "" : ", ") + std::string(math::to_string(row));
  const char* wanted = std::getenv("WEIR_CPU");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  const auto row = math::choose_row();
  if (!row) return {"cpu", bad, fmt::format("{}; this machine runs {}", row.error().message, here), row.error().remedy};
  if (wanted == nullptr || *wanted == '\0') return {"cpu", ok, fmt::format("row {}, the best of those that run here: {}", math::to_string(*row), here), ""};
  const std::string text = fmt::format("row {}, as WEIR_CPU says; here run {}", math::to_string(*row), here);
  return *row == math::best_row() ? Diagnosis{"cpu", ok, text, ""} : Diagnosis{"cpu", note, text, "encoding is slower than it could be: unset WEIR_CPU"};
}

Diagnosis model(const EngineOptions& options) {
  if (!options.model) return {"model", note, "off (--no-model): newest and oldest, no ranking", "start without --no-model to have items ranked"};
  const std::string& name = options.model_name;
  const auto folder = find_model(name);
  if (!folder) return {"model", bad, said(folder.error()), "weir model fetch " + name + ", or go without: --no-model"};
  const KnownModel* known = known_model(name);
  if (!known) return {"model", ok, name + ", a folder of your own: no hash is known", ""};
  const Status whole = check_model(*known, *folder, Check::hashes);
  return whole ? Diagnosis{"model", ok, name + ", its hash is right", ""} : Diagnosis{"model", bad, said(whole.error()), "weir model fetch " + name};
}

Diagnosis sandbox(const SandboxFeatures& has) {
  const auto on = [](bool feature) { return feature ? "on" : "off"; };
  const std::string text = fmt::format("parser children: seccomp {}, Landlock {}, memory limit {}, CPU limit {}", on(has.seccomp),
                                       has.landlock ? fmt::format("ABI {}", has.landlock) : "absent", on(has.memory_limit), on(has.cpu_limit));
  if (!has.sealed()) return {"sandbox", bad, text, "feeds are not read without it: use a kernel with seccomp"};
  if (has.landlock == 0)
    return {"sandbox", note, text, "seccomp alone keeps files away; a kernel with Landlock (5.13 or later, lsm=landlock) adds the second wall"};
  if (!has.memory_limit || !has.cpu_limit)
    return {"sandbox", note, text, "a hostile feed may take more than its share: start Weir where setrlimit and setitimer work"};
  return {"sandbox", ok, text, ""};
}

// What the last fetches say of names and of time.
void examine_sources(const std::vector<Source>& sources, std::optional<Time> newest_item, Time now, std::vector<Diagnosis>& out) {
  std::size_t unnamed = 0, fetched = 0;
  Time latest = newest_item.value_or(Time{});
  for (const Source& one : sources) {
    if (one.error.contains("no such host name")) ++unnamed;
    if (one.health == Health::ok && one.fetched_at) ++fetched;
    if (one.fetched_at) latest = std::max(latest, *one.fetched_at);
  }
  for (Diagnosis& check : out) {
    if (check.name == "dns" && unnamed > 0) {
      check.state = fetched == 0 ? bad : note;
      check.text += fmt::format("; {} of {} sources have a host that it does not know", unnamed, sources.size());
      check.remedy = fetched == 0 ? "no name is found: check /etc/resolv.conf and the network" : "check their addresses: weir sources";
    }
    if (check.name == "clock" && latest > now + std::chrono::minutes(5))
      check = {"clock", bad, fmt::format("{} is before the last item or fetch, {}", to_rfc3339(now), to_rfc3339(latest)),
               "the clock has gone back, or was ahead then: set it right; until then sources may wait and new items stand below old ones"};
  }
}

}  // namespace

json::object to_json(const Diagnosis& one) {
  static constexpr std::array<std::string_view, 3> states{"ok", "note", "bad"};
  json::object out{{"name", one.name}, {"state", states[static_cast<std::size_t>(one.state)]}, {"text", one.text}};
  if (!one.remedy.empty()) out["remedy"] = one.remedy;
  return out;
}

std::vector<Diagnosis> examine_machine(const EngineOptions& options) {
  return {disk(options.data), rights(options.data), time_of_day(SystemClock().now()), names(), processor(), model(options)};
}

std::vector<Diagnosis> Engine::doctor(bool thorough) {
  Parts& own = *parts_;
  std::vector<Diagnosis> out = examine_machine(own.options);
  out.push_back(weir::sandbox(own.sandbox->features()));
  const auto sizes = own.store->reader()->sizes();
  if (sizes) {
    out.push_back({"database", ok,
                   fmt::format("{} items of {} sources, schema {}, {} inside it wait for reuse", sizes->items, sizes->sources, sizes->schema,
                               megabytes(sizes->free_bytes)),
                   ""});
    if (sizes->dead > 0)
      out.push_back(
          {"work", bad, fmt::format("{} pieces of work failed five times and are set aside", sizes->dead), "see the log for the first failure; report it"});
    const bool behind = sizes->search_queued > 10'000;
    out.push_back({"search", behind ? note : ok, fmt::format("{} items wait for the search index", sizes->search_queued),
                   behind ? "nothing to do while the number falls; if it does not, see the log" : ""});
  } else {
    out.push_back({"database", bad, said(sizes.error()), "restore a backup: weir restore FILE"});
  }
  if (const auto sources = own.store->reader()->due(Time::max(), 100'000))
    examine_sources(*sources, sizes ? sizes->newest : std::nullopt, own.clock.now(), out);
  if (thorough) {
    const Status whole = own.store->quick_check();
    out.push_back({"integrity", whole ? ok : bad, whole ? "the database is whole" : said(whole.error()), whole ? "" : "restore a backup: weir restore FILE"});
  }
  if (sizes) {
    const std::int64_t queued = sizes->encode_queued;
    const Encoding::Progress progress = own.encoding ? own.encoding->progress() : Encoding::Progress{};
    const std::string waiting = fmt::format("{} items wait for their vector", queued);
    const bool behind = queued > 1'000;
    if (!own.encoding) out.push_back({"encoding", ok, waiting + "; without a model nobody misses it", ""});
    else if (!progress.error.empty())
      out.push_back({"encoding", bad, progress.error + "; " + waiting, "see model and cpu above; it is tried again every minute"});
    else if (!own.running) out.push_back({"encoding", behind ? note : ok, waiting, behind ? "weir serve encodes them, the newest first" : ""});
    else
      out.push_back({"encoding", behind ? note : ok,
                     fmt::format("{}, {:.0f} are done a second; {} of {} texts were still in the cache", waiting, progress.items_per_second,
                                 progress.cache.hits, progress.cache.hits + progress.cache.misses),
                     behind ? "nothing to do: the newest come first; faster with the model minilm or a larger WEIR_THREADS" : ""});
  }
  return out;
}

}  // namespace weir
