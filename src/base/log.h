// Log lines on stderr: "2026-11-24T03:41:02Z info poll: …" or, with set_log_json(true), a JSON object a line. A line that carries text from outside
// takes it Sealed (see types/sealed.h); what is logged here is ours: ids, counts, states. Any thread.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace weir {

enum class Level { debug, info, warn, error };

void set_log_level(Level level);
void set_log_json(bool on);
void log_line(Level level, std::string_view part, std::string_view text);

template <class... Args>
void log_info(std::string_view part, fmt::format_string<Args...> format, Args&&... args) {
  log_line(Level::info, part, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warn(std::string_view part, fmt::format_string<Args...> format, Args&&... args) {
  log_line(Level::warn, part, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(std::string_view part, fmt::format_string<Args...> format, Args&&... args) {
  log_line(Level::error, part, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace weir
