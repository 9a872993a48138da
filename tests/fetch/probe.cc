// weir_fetch_probe: the fetcher alone, as a program, for tests and measurements.
//
//   weir_fetch_probe [--allow-net CIDR]… [--poll] [--delay MS] [--purpose feed|page|icon|media] [--ca FILE] [--rounds N] < URLS
//
// Reads a URL a line, fetches them all at once, prints a JSON object a line in the order of the lines: {"url","status",…} or {"url","code","message"}.
// With --rounds each further round sends the validators that the round before brought and prints nothing but its figures. The last lines are
// {"round","wall_s","cpu_s","wire_bytes","status":{"200":…},"errors":{…}}, one a round.
#include <sys/resource.h>

#include <condition_variable>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/json.h"
#include "ingest/fetch.h"

namespace {

using namespace weir;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

json::object describe(const std::string& url, const Result<FetchReply>& result) {
  json::object out{{"url", url}};
  if (!result) {
    out["code"] = to_string(result.error().code);
    out["message"] = result.error().text();
    return out;
  }
  out["status"] = result->status;
  out["final"] = result->url;
  if (result->moved_to) out["moved_to"] = *result->moved_to;
  out["type"] = result->content_type;
  out["bytes"] = result->body.size();
  out["hops"] = result->hops;
  if (!result->etag.empty()) out["etag"] = result->etag;
  if (!result->last_modified.empty()) out["last_modified"] = result->last_modified;
  out["took_ms"] = std::chrono::duration<double, std::milli>(result->took).count();
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> allow;
  FetchOptions options;
  FetchUrgency urgency = FetchUrgency::interactive;
  FetchPurpose purpose = FetchPurpose::feed;
  Duration deadline = std::chrono::seconds(30);
  int rounds = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const auto value = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (name == "--allow-net") allow.push_back(value());
    else if (name == "--poll") urgency = FetchUrgency::poll;
    else if (name == "--delay") options.host_delay = std::chrono::milliseconds(std::stoi(value()));
    else if (name == "--deadline") deadline = std::chrono::milliseconds(std::stoi(value()));
    else if (name == "--ca") options.ca_file = value();
    else if (name == "--rounds") rounds = std::stoi(value());
    else if (name == "--purpose") {
      const std::string text = value();
      purpose = text == "page" ? FetchPurpose::page : text == "icon" ? FetchPurpose::icon : text == "media" ? FetchPurpose::media : FetchPurpose::feed;
    } else {
      std::cerr << "unknown option " << name << '\n';
      return 2;
    }
  }
  const Result<Dialer> dialer = Dialer::allowing(allow);
  if (!dialer) return std::cerr << dialer.error().text() << '\n', 2;
  auto fetcher = CurlFetcher::open(*dialer, options);
  if (!fetcher) return std::cerr << fetcher.error().text() << '\n', 1;

  std::vector<FetchRequest> requests;
  for (std::string line; std::getline(std::cin, line);)
    if (!line.empty()) requests.push_back({.url = line, .purpose = purpose, .urgency = urgency, .deadline = deadline});

  std::jthread loop([&](const std::stop_token& stop) { (*fetcher)->run(stop); });
  for (int round = 1; round <= rounds; ++round) {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::string> lines(requests.size());
    std::map<std::string, int> statuses, errors;
    std::size_t done = 0;
    const double cpu = cpu_seconds();
    const std::uint64_t bytes = (*fetcher)->counters().wire_bytes;
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < requests.size(); ++i) {
      (*fetcher)->fetch(requests[i], [&, i](Result<FetchReply> result) {
        if (round == 1) lines[i] = json::serialize(describe(requests[i].url, result));
        const std::scoped_lock lock(mutex);
        if (result) {
          ++statuses[std::to_string(result->status)];
          if (!result->etag.empty()) requests[i].etag = result->etag;
          if (!result->last_modified.empty()) requests[i].last_modified = result->last_modified;
        } else {
          ++errors[std::string(to_string(result.error().code))];
        }
        ++done;
        changed.notify_one();
      });
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done == requests.size(); });
    if (round == 1)
      for (const std::string& line : lines) std::cout << line << '\n';
    json::object figures{{"round", round},
                         {"wall_s", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()},
                         {"cpu_s", cpu_seconds() - cpu},
                         {"wire_bytes", (*fetcher)->counters().wire_bytes - bytes}};
    figures["status"] = json::value_from(statuses);
    figures["errors"] = json::value_from(errors);
    std::cout << json::serialize(figures) << std::endl;
  }
  return 0;
}
