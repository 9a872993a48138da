// weir_parse_bench [--reps N] [--mode parse|raw|clean] [--command] [--dump] [--base URL] FILE|FOLDER…: feeds in memory, one thread, best of N, processor time.
//   parse  bytes → Feed, no HTML read: what gofeed and feed-rs do
//   raw    the same, with plain titles and summaries, and relative addresses in content resolved (`weir parse --raw`)
//   clean  the same, with every content sanitised (`weir parse`)
// --command adds what the command does besides: reading the files and writing JSON lines. --dump writes the documents to stdout instead of measuring.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "html/html.h"
#include "ingest/parse.h"

namespace {

using namespace weir;

double used() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

Result<PageLinks> links(std::string_view page, std::string_view base) {
  html::Page read = html::read_page(page, base);
  PageLinks out{std::move(read.title), std::move(read.language), {}, {}};
  for (html::Page::Link& link : read.links) out.links.push_back({std::move(link.url), std::move(link.title)});
  return out;
}

const HtmlTools tools{
    .text = [](std::string_view text) { return html::title_text(text); },
    .clean = [](std::string_view text, std::string_view base) { return html::clean(text, base, {.text = false}).html; },
    .resolve = [](std::string_view text, std::string_view base) { return html::clean(text, base, {.resolve_only = true, .text = false}).html; },
    .links = links,
};

}  // namespace

int main(int argc, char** argv) {
  int reps = 5;
  bool dump = false, command = false;
  std::string mode = "parse", base;
  std::vector<std::string> names;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--reps" && i + 1 < argc) reps = std::max(1, std::atoi(argv[++i]));
    else if (argument == "--mode" && i + 1 < argc) mode = argv[++i];
    else if (argument == "--base" && i + 1 < argc) base = argv[++i];
    else if (argument == "--dump") dump = true;
    else if (argument == "--command") command = true;
    else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argument))
        if (entry.is_regular_file() && (dump || entry.path().extension() == ".xml" || entry.path().extension() == ".json")) names.push_back(entry.path());
    } else names.emplace_back(argument);
  }
  std::ranges::sort(names);
  ParseOptions options{.base_url = base, .raw = mode != "clean", .html = tools};
  if (mode == "parse") options.html = {.links = links};
  if (dump) {
    for (const std::string& name : names) {
      const auto bytes = read_file(name);
      const auto feed = bytes ? parse_feed(*bytes, options) : Result<Feed>(std::unexpected(bytes.error()));
      if (feed) fmt::print("{}\n", json::serialize(to_json(*feed, name)));
      else
        fmt::print(
            "{}\n",
            json::serialize(json::object{{"_weir", {{"file", name}, {"error", {{"code", to_string(feed.error().code)}, {"message", feed.error().text()}}}}}}));
    }
    return 0;
  }
  std::vector<std::string> documents;
  std::size_t bytes = 0;
  for (const std::string& name : names) {
    documents.push_back(read_file(name).value_or(""));
    bytes += documents.back().size();
  }
  double best = 1e9;
  std::size_t parsed = 0, entries = 0, written = 0;
  std::FILE* const sink = std::fopen("/dev/null", "w");
  for (int rep = 0; rep < reps; ++rep) {
    const double start = used();
    parsed = entries = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto feed = command ? parse_feed(read_file(names[i]).value_or(""), options) : parse_feed(documents[i], options);
      if (!feed) continue;
      ++parsed;
      entries += feed->items.size();
      if (command) {
        const std::string line = json::serialize(to_json(*feed, names[i]));
        written += std::fwrite(line.data(), 1, line.size(), sink);
      }
    }
    best = std::min(best, used() - start);
  }
  std::fclose(sink);
  const double mb = static_cast<double>(bytes) / 1e6;
  fmt::print(R"({{"parser":"weir {}{}","files":{},"parsed":{},"entries":{},"mb":{:.2f},"s":{:.4f},"mb_s":{:.1f},"entries_s":{:.0f}}})"
             "\n",
             mode, command ? ", command" : "", names.size(), parsed, entries, mb, best, mb / best, static_cast<double>(entries) / best);
  return written == 0 && command ? 1 : 0;
}
