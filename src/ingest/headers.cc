#include "ingest/headers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "base/text.h"

namespace weir {

namespace {

constexpr std::int64_t kYear = 365 * 86'400;

// Digits and nothing else; what does not fit is a year.
std::optional<Duration> parse_seconds(std::string_view text) {
  if (text.empty() || !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  std::int64_t seconds = kYear;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return std::chrono::seconds(std::min(seconds, kYear));
}

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

void ReplyHeaders::add(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    *this = {};
    const std::size_t space = line.find(' ');
    if (space != std::string_view::npos) status = parse_number(line.substr(space + 1, 3)).value_or(0);
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = to_lower_ascii(line.substr(0, colon));
  const std::string_view value = trim(line.substr(colon + 1));
  const auto first = [&](std::string& field) {
    if (field.empty()) field = value;
  };
  const auto join = [&](std::string& field) {
    if (!field.empty()) field += ',';
    field += to_lower_ascii(value);
  };
  if (name == "content-type") first(content_type);
  else if (name == "location") first(location);
  else if (name == "etag") first(etag);
  else if (name == "last-modified") first(last_modified);
  else if (name == "retry-after") first(retry_after);
  else if (name == "date") first(date);
  else if (name == "cache-control") join(cache_control);
  else if (name == "content-encoding") join(encoding);
}

std::optional<Duration> parse_max_age(std::string_view cache_control) {
  std::optional<Duration> age;
  for (const std::string_view part : split(cache_control, ',')) {
    const std::string directive = to_lower_ascii(trim(part));
    if (directive == "no-store" || directive.starts_with("no-cache")) return std::nullopt;
    constexpr std::string_view key = "max-age=";
    if (!age && directive.starts_with(key)) {
      std::string_view value = std::string_view(directive).substr(key.size());
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      age = parse_seconds(value);
    }
  }
  return age;
}

std::optional<Duration> parse_retry_after(std::string_view retry_after, std::string_view date, Time now) {
  if (const auto seconds = parse_seconds(retry_after)) return seconds;
  const std::optional<Time> until = parse_http_date(retry_after);
  if (!until) return std::nullopt;
  return std::clamp<Duration>(*until - parse_http_date(date).value_or(now), Duration(0), std::chrono::seconds(kYear));
}

std::optional<Time> parse_http_date(std::string_view text) {
  std::array<std::string_view, 8> words;
  std::size_t n = 0;
  for (const std::string_view word : split(text, ' ')) {
    if (word.empty()) continue;
    if (n == words.size()) return std::nullopt;
    words[n++] = word;
  }
  std::string_view day, month, year, clock;
  if (n == 6 && words[5] == "GMT") {
    day = words[1], month = words[2], year = words[3], clock = words[4];
  } else if (n == 4 && words[3] == "GMT") {
    const auto date = split(words[1], '-');
    if (date.size() != 3) return std::nullopt;
    day = date[0], month = date[1], year = date[2], clock = words[2];
  } else if (n == 5) {
    day = words[2], month = words[1], year = words[4], clock = words[3];
  } else {
    return std::nullopt;
  }
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const std::size_t at = month.size() == 3 ? months.find(month) : std::string_view::npos;
  const auto time = split(clock, ':');
  if (at == std::string_view::npos || at % 3 != 0 || time.size() != 3) return std::nullopt;
  const auto d = parse_number(day), y = parse_number(year), h = parse_number(time[0]), m = parse_number(time[1]), s = parse_number(time[2]);
  if (!d || !y || !h || !m || !s || *h > 23 || *m > 59 || *s > 60) return std::nullopt;
  const int full_year = year.size() == 2 ? *y + (*y < 70 ? 2000 : 1900) : *y;
  const std::chrono::year_month_day date{std::chrono::year(full_year), std::chrono::month(static_cast<unsigned>(at / 3 + 1)),
                                         std::chrono::day(static_cast<unsigned>(*d))};
  if (!date.ok() || full_year < 1970 || full_year > 9999) return std::nullopt;
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(*h) + std::chrono::minutes(*m) + std::chrono::seconds(*s);
}

}  // namespace weir
