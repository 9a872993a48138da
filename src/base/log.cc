#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "base/json.h"
#include "base/time.h"

namespace weir {
namespace {
std::atomic<Level> threshold{Level::info};
std::atomic<bool> as_json{false};
constexpr std::string_view names[] = {"debug", "info", "warn", "error"};
}  // namespace

void set_log_level(Level level) { threshold = level; }
void set_log_json(bool on) { as_json = on; }

void log_line(Level level, std::string_view part, std::string_view text) {
  if (level < threshold.load()) return;
  const std::string at = to_rfc3339(std::chrono::floor<std::chrono::seconds>(SystemClock().now()));
  const std::string_view name = names[static_cast<int>(level)];
  std::string line;
  if (as_json) {
    line = json::serialize(json::object{{"at", at}, {"level", name}, {"part", part}, {"text", text}});
  } else {
    line = fmt::format("{} {} {}: ", at, name, part);
    for (const char c : text) line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;  // one line, whatever is in it
  }
  line += '\n';
  [[maybe_unused]] const auto written = ::write(2, line.data(), line.size());  // one write: lines of two threads do not mix
}

}  // namespace weir
