#include "base/time.h"

#include <fmt/format.h>

namespace weir {

std::string to_rfc3339(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const auto micros = (time - day).count();
  const auto seconds = micros / 1'000'000;
  std::string out = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                                static_cast<unsigned>(date.day()), seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (const auto fraction = micros % 1'000'000) {
    out += fmt::format(".{:06}", fraction);
    while (out.back() == '0') out.pop_back();
  }
  return out + "Z";
}

namespace {

// Reads exactly `digits` digits at `at` and moves on.
bool number(std::string_view text, std::size_t& at, std::size_t digits, int& out) {
  if (at + digits > text.size()) return false;
  out = 0;
  for (std::size_t i = 0; i < digits; ++i, ++at) {
    if (text[at] < '0' || text[at] > '9') return false;
    out = out * 10 + (text[at] - '0');
  }
  return true;
}

bool skip(std::string_view text, std::size_t& at, std::string_view any_of) {
  if (at >= text.size() || any_of.find(text[at]) == std::string_view::npos) return false;
  ++at;
  return true;
}

}  // namespace

std::optional<Time> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  std::size_t at = 0;
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0;
  if (!number(text, at, 4, y) || !skip(text, at, "-") || !number(text, at, 2, mo) || !skip(text, at, "-") || !number(text, at, 2, d) ||
      !skip(text, at, "Tt ") || !number(text, at, 2, h) || !skip(text, at, ":") || !number(text, at, 2, mi) || !skip(text, at, ":") || !number(text, at, 2, s))
    return std::nullopt;
  std::int64_t fraction = 0;
  if (skip(text, at, ".")) {
    std::int64_t unit = 100'000;
    const std::size_t begin = at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) fraction += unit * (text[at] - '0');
    if (at == begin) return std::nullopt;
  }
  minutes offset{0};
  if (!skip(text, at, "Zz")) {
    const bool minus = at < text.size() && text[at] == '-';
    int oh = 0, om = 0;
    if (!skip(text, at, "+-") || !number(text, at, 2, oh) || !skip(text, at, ":") || !number(text, at, 2, om) || oh > 23 || om > 59) return std::nullopt;
    offset = minutes((minus ? -1 : 1) * (oh * 60 + om));
  }
  const year_month_day date(year(y), month(static_cast<unsigned>(mo)), day(static_cast<unsigned>(d)));
  if (at != text.size() || !date.ok() || h > 23 || mi > 59 || s > 60) return std::nullopt;
  return Time(sys_days(date)) + hours(h) + minutes(mi) + seconds(s) + microseconds(fraction) - offset;
}

}  // namespace weir
