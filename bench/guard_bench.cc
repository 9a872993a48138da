// weir_guard_bench DIR: scans every file under DIR. A line {"file","rule"} a finding on stdout (so that a scanner's evaluation can read it), and on stderr
// the megabytes a second of this core: scanning everything, and sealing for the reader (addresses only).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "guard/guard.h"

int main(int argc, char** argv) {
  using namespace weir;
  if (argc != 2) return std::fputs("usage: weir_guard_bench DIR\n", stderr), 2;
  std::vector<std::pair<std::string, std::string>> files;
  std::size_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1])) {
    if (!entry.is_regular_file()) continue;
    const auto text = read_file(entry.path());
    if (!text) continue;
    bytes += text->size();
    files.emplace_back(entry.path().string(), *text);
  }
  const auto seconds = [](auto&& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::unique_ptr<guard::Guard> guard;
  const double construction = seconds([&] { guard = std::make_unique<guard::Guard>(); });
  for (const auto& [name, text] : files)
    for (const Finding& finding : guard->scan(text).findings)
      std::printf("%s\n",
                  json::serialize(json::object{{"file", name}, {"rule", finding.rule}, {"class", finding.kind}, {"start", finding.start}, {"end", finding.end}})
                      .c_str());
  double scan = 1e9, reader = 1e9;
  for (int i = 0; i < 5; ++i) {
    scan = std::min(scan, seconds([&] {
                      for (const auto& [name, text] : files) (void)guard->scan(text);
                    }));
    reader = std::min(reader, seconds([&] {
                        for (const auto& [name, text] : files) (void)guard->seal(guard::Exit::reader, text);
                      }));
  }
  const double mb = static_cast<double>(bytes) / 1e6;
  std::fprintf(stderr, "%zu files, %.1f MB: scan %.0f MB/s, seal for the reader (a copy included) %.0f MB/s, construction %.1f ms\n", files.size(), mb,
               mb / scan, mb / reader, construction * 1e3);
}
