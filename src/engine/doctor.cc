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
#include <ranges>
#include <system_error>

#include "encode/models.h"
#include "engine/engine.h"
#include "engine/parts.h"
#include "math/cpu.h"
#include "math/kernels.h"

namespace weir {
namespace {

using enum Diagnosis::State;
using std::filesystem::path;

constexpr std::int64_t least_free = std::int64_t{500} << 20;  // below it a backup, a merge of the search index or a long log may not fit

std::string megabytes(std::int64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

// Without the remedy, which has its own place here. `key` names it when it has no name of its own.
Sentence said(const Error& error, std::string_view key) {
  Sentence out = named(key, error.where.empty() ? error.message : error.where + ": " + error.message);
  if (!error.key.empty()) out.key = error.key, out.values = error.values;
  return out;
}

Sentence restore_a_backup() { return say("restore_a_backup", "restore a backup: weir restore FILE"); }

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
    return {"disk",
            bad,
            {say("disk_unseen", "{folder} cannot be looked at: {reason}", {{"folder", data.string()}, {"reason", std::generic_category().message(errno)}})},
            say("disk_mount", "check that the disk is mounted")};
  const auto free = static_cast<std::int64_t>(disk.f_bavail) * static_cast<std::int64_t>(disk.f_frsize);
  const std::int64_t database = bytes_of(data / "weir.db"), log = bytes_of(data / "weir.db-wal");
  const Sentence text = say(
      "disk_use", "{folder} uses {all} (database {database}, its log {log}); {free} are free there",
      {{"folder", data.string()}, {"all", megabytes(database + log)}, {"database", megabytes(database)}, {"log", megabytes(log)}, {"free", megabytes(free)}});
  if (free < least_free)
    return {"disk", bad, {text}, say("disk_make_room", "make room: below {least} a backup or cleaning up may fail", {{"least", megabytes(least_free)}})};
  if (free < database) return {"disk", note, {text}, say("disk_backup_elsewhere", "a backup does not fit beside the database: write backups to another disk")};
  return {"disk", ok, {text}, {}};
}

Diagnosis rights(const path& data) {
  using std::filesystem::perms;
  const std::string name = data.string();
  std::error_code none;
  const auto status = std::filesystem::status(data, none);
  if (!std::filesystem::exists(status))
    return {"rights",
            note,
            {say("rights_no_folder", "{folder} is not there", {{"folder", name}})},
            say("rights_make_folder", "weir serve makes it; or name another folder with --data")};
  for (const path& one : {data, data / "weir.db", data / "lock"}) {
    if (!std::filesystem::exists(one, none) || ::access(one.c_str(), R_OK | W_OK) == 0) continue;
    const int error = errno;
    return {"rights",
            bad,
            {say("rights_unwritable", "{file} cannot be written: {reason}", {{"file", one.string()}, {"reason", std::generic_category().message(error)}})},
            error == EROFS ? say("rights_remount", "its file system is mounted read-only: mount -o remount,rw, or look in dmesg for the reason")
                           : say("rights_chown", "run as the user that owns it, or: chown -R $(id -u) {folder}", {{"folder", name}})};
  }
  if ((status.permissions() & (perms::group_all | perms::others_all)) != perms::none)
    return {"rights",
            bad,
            {say("rights_others", "others on this machine may look into {folder}", {{"folder", name}})},
            say("rights_chmod", "chmod 700 {folder}", {{"folder", name}})};
  return {"rights", ok, {say("rights_owner", "only its owner may look into {folder}", {{"folder", name}})}, {}};
}

Diagnosis time_of_day(Time now) {
  if (now < from_micros(1'767'225'600'000'000))
    return {"clock",
            bad,
            {say("clock_past", "{time} is in the past", {{"time", to_rfc3339(now)}})},
            say("clock_set", "set the clock, or let systemd-timesyncd do so")};  // 2026-01-01
  timex kernel{};
  if (::adjtimex(&kernel) == TIME_ERROR)
    return {"clock",
            note,
            {say("clock_alone", "{time}, not synchronised", {{"time", to_rfc3339(now)}})},
            say("clock_drifts", "when it drifts, items seem old or new by as much: run systemd-timesyncd or chrony")};
  return {"clock", ok, {say("clock_time", "{time}", {{"time", to_rfc3339(now)}})}, {}};
}

Diagnosis names() {
  std::ifstream resolv("/etc/resolv.conf");
  for (std::string line; std::getline(resolv, line);)
    if (line.starts_with("nameserver")) return {"dns", ok, {say("dns_set", "a name server is set")}, {}};
  return {"dns", note, {say("dns_none", "/etc/resolv.conf names no server")}, say("dns_none_remedy", "feeds by name cannot be fetched until it does")};
}

Diagnosis processor() {
  std::string here;  // best first
  for (const math::Row row : math::all_rows | std::views::reverse)
    if (math::kernels(row) != nullptr) here += (here.empty() ? "" : ", ") + std::string(math::to_string(row));
  const char* wanted = std::getenv("WEIR_CPU");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  const auto row = math::choose_row();
  if (!row) {
    Error error = row.error();
    error.where.clear();
    return {"cpu", bad, {said(error, "cpu_row_wrong"), say("cpu_here", "this machine runs {rows}", {{"rows", here}})}, named("cpu_unset", error.remedy)};
  }
  if (wanted == nullptr || *wanted == '\0')
    return {"cpu", ok, {say("cpu_best", "row {row}, the best of those that run here: {rows}", {{"row", math::to_string(*row)}, {"rows", here}})}, {}};
  const Sentence text = say("cpu_chosen", "row {row}, as WEIR_CPU says; here run {rows}", {{"row", math::to_string(*row)}, {"rows", here}});
  if (*row == math::best_row()) return {"cpu", ok, {text}, {}};
  return {"cpu", note, {text}, say("cpu_slower", "encoding is slower than it could be: unset WEIR_CPU")};
}

Diagnosis model(const EngineOptions& options) {
  if (!options.model)
    return {
        "model", note, {say("model_off", "off (--no-model): newest and oldest, no ranking")}, say("model_on", "start without --no-model to have items ranked")};
  const std::string& name = options.model_name;
  const auto folder = find_model(name);
  if (!folder)
    return {"model",
            bad,
            {said(folder.error(), "model_absent")},
            say("model_fetch_or_without", "weir model fetch {name}, or go without: --no-model", {{"name", name}})};
  const KnownModel* known = known_model(name);
  if (!known) return {"model", ok, {say("model_own", "{name}, a folder of your own: no hash is known", {{"name", name}})}, {}};
  const Status whole = check_model(*known, *folder, Check::hashes);
  if (!whole) return {"model", bad, {said(whole.error(), "model_broken")}, say("model_fetch", "weir model fetch {name}", {{"name", name}})};
  return {"model", ok, {say("model_right", "{name}, its hash is right", {{"name", name}})}, {}};
}

Diagnosis sandbox(const SandboxFeatures& has) {
  std::vector<Sentence> text{
      has.seccomp ? say("sandbox_seccomp", "parser children: seccomp on") : say("sandbox_no_seccomp", "parser children: seccomp off"),
      has.landlock != 0 ? say("sandbox_landlock", "Landlock ABI {abi}", {{"abi", has.landlock}}) : say("sandbox_no_landlock", "Landlock absent"),
      has.memory_limit ? say("sandbox_memory", "memory limit on") : say("sandbox_no_memory", "memory limit off"),
      has.cpu_limit ? say("sandbox_cpu", "CPU limit on") : say("sandbox_no_cpu", "CPU limit off")};
  if (!has.sealed()) return {"sandbox", bad, std::move(text), say("sandbox_kernel", "feeds are not read without it: use a kernel with seccomp")};
  if (has.landlock == 0)
    return {"sandbox", note, std::move(text),
            say("sandbox_one_wall", "seccomp alone keeps files away; a kernel with Landlock (5.13 or later, lsm=landlock) adds the second wall")};
  if (!has.memory_limit || !has.cpu_limit)
    return {"sandbox", note, std::move(text),
            say("sandbox_limits", "a hostile feed may take more than its share: start Weir where setrlimit and setitimer work")};
  return {"sandbox", ok, std::move(text), {}};
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
      check.text.push_back(say("dns_unknown", "{n} of {all} sources have a host that it does not know", {{"n", unnamed}, {"all", sources.size()}}));
      check.remedy = fetched == 0 ? say("dns_nothing_found", "no name is found: check /etc/resolv.conf and the network")
                                  : say("dns_check_addresses", "check their addresses: weir sources");
    }
    if (check.name == "clock" && latest > now + std::chrono::minutes(5))
      check = {
          "clock",
          bad,
          {say("clock_back", "{time} is before the last item or fetch, {last}", {{"time", to_rfc3339(now)}, {"last", to_rfc3339(latest)}})},
          say("clock_back_remedy", "the clock has gone back, or was ahead then: set it right; until then sources may wait and new items stand below old ones")};
  }
}

}  // namespace

json::object to_json(const Diagnosis& one) {
  static constexpr std::array<std::string_view, 3> states{"ok", "note", "bad"};
  json::object out{{"name", one.name}, {"state", states[static_cast<std::size_t>(one.state)]}};
  std::string text;
  json::array says;
  for (const Sentence& sentence : one.text) {
    text += (text.empty() ? "" : "; ") + sentence.text;
    put_name(says.emplace_back(json::object{}).as_object(), sentence.key, sentence.values);
  }
  out["text"] = text;
  out["says"] = std::move(says);
  if (one.remedy.text.empty()) return out;
  out["remedy"] = one.remedy.text;
  put_name(out["remedy_says"].emplace_object(), one.remedy.key, one.remedy.values);
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
  if (const Status there = own.store->in_place(); !there) {
    out.push_back({"database", bad, {said(there.error(), "database_moved")}, say("database_put_back", "stop Weir, put the file back, start again")});
  } else if (sizes) {
    out.push_back({"database",
                   ok,
                   {say("database_sizes", "{items} items of {sources} sources, schema {schema}, {free} inside it wait for reuse",
                        {{"items", sizes->items}, {"sources", sizes->sources}, {"schema", sizes->schema}, {"free", megabytes(sizes->free_bytes)}})},
                   {}});
    if (sizes->dead > 0)
      out.push_back({"work",
                     bad,
                     {say("work_dead", "{n} pieces of work failed five times and are set aside", {{"n", sizes->dead}})},
                     say("work_log", "see the log for the first failure; report it")});
    const bool behind = sizes->search_queued > 10'000;
    out.push_back({"search",
                   behind ? note : ok,
                   {say("search_queued", "{n} items wait for the search index", {{"n", sizes->search_queued}})},
                   behind ? say("search_falls", "nothing to do while the number falls; if it does not, see the log") : Sentence{}});
  } else {
    out.push_back({"database", bad, {said(sizes.error(), "database_unreadable")}, restore_a_backup()});
  }
  if (const auto sources = own.store->reader()->due(Time::max(), 100'000))
    examine_sources(*sources, sizes ? sizes->newest : std::nullopt, own.clock.now(), out);
  if (thorough) {
    const Status whole = own.store->quick_check();
    if (whole) out.push_back({"integrity", ok, {say("integrity_whole", "the database is whole")}, {}});
    else out.push_back({"integrity", bad, {said(whole.error(), "integrity_broken")}, restore_a_backup()});
  }
  if (sizes) {
    const std::int64_t queued = sizes->encode_queued;
    const Encoding::Progress progress = own.encoding ? own.encoding->progress() : Encoding::Progress{};
    const Sentence waiting = say("encoding_queued", "{n} items wait for their vector", {{"n", queued}});
    const bool behind = queued > 1'000;
    if (!own.encoding) out.push_back({"encoding", ok, {waiting, say("encoding_off", "without a model nobody misses it")}, {}});
    else if (!progress.error.empty())
      out.push_back({"encoding",
                     bad,
                     {named("encoding_stopped", progress.error), waiting},
                     say("encoding_see", "see model and cpu above; it is tried again every minute")});
    else if (!own.running)
      out.push_back({"encoding", behind ? note : ok, {waiting}, behind ? say("encoding_serve", "weir serve encodes them, the newest first") : Sentence{}});
    else
      out.push_back(
          {"encoding",
           behind ? note : ok,
           {waiting, say("encoding_speed", "{speed} are done a second", {{"speed", fmt::format("{:.0f}", progress.items_per_second)}}),
            say("encoding_cache", "{hits} of {all} texts were still in the cache",
                {{"hits", progress.cache.hits}, {"all", progress.cache.hits + progress.cache.misses}})},
           behind ? say("encoding_faster", "nothing to do: the newest come first; faster with the model minilm or a larger WEIR_THREADS") : Sentence{}});
  }
  return out;
}

}  // namespace weir
