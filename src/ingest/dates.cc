#include "ingest/dates.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string>

#include "base/text.h"

namespace weir {
namespace {

using std::string_view;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80); }

// Beginnings of month names, lower case; the first that fits counts. English first; then de fr es it pt nl sv pl ru el hu, where they differ.
struct MonthName {
  string_view begins;
  int month;
};
constexpr auto month_names = std::to_array<MonthName>({
    {"jan", 1},
    {"feb", 2},
    {"mar", 3},
    {"apr", 4},
    {"may", 5},
    {"jun", 6},
    {"jul", 7},
    {"aug", 8},
    {"sep", 9},
    {"oct", 10},
    {"nov", 11},
    {"dec", 12},
    {"j\u00e4n", 1},
    {"gen", 1},
    {"ene", 1},
    {"sty", 1},
    {"янв", 1},
    {"ιαν", 1},
    {"Ιαν", 1},
    {"Ιαν", 1},
    {"f\u00e9v", 2},
    {"fev", 2},
    {"lut", 2},
    {"фев", 2},
    {"Φεβ", 2},
    {"φεβ", 2},
    {"m\u00e4r", 3},
    {"mrz", 3},
    {"mrt", 3},
    {"maa", 3},
    {"m\u00e1r", 3},
    {"мар", 3},
    {"Μ\u03ac\u03c1", 3},
    {"Μαρ", 3},
    {"μαρ", 3},
    {"avr", 4},
    {"abr", 4},
    {"kwi", 4},
    {"\u00e1pr", 4},
    {"апр", 4},
    {"Απρ", 4},
    {"απρ", 4},
    {"mai", 5},
    {"mag", 5},
    {"mei", 5},
    {"maj", 5},
    {"m\u00e1j", 5},
    {"мая", 5},
    {"май", 5},
    {"Μ\u03ac\u03b9", 5},
    {"Μα\u03ca", 5},
    {"Μαι", 5},
    {"μαι", 5},
    {"juin", 6},
    {"giu", 6},
    {"cze", 6},
    {"j\u00fan", 6},
    {"июн", 6},
    {"Ιο\u03cd\u03bd", 6},
    {"Ιουν", 6},
    {"Ιον", 6},
    {"ιουν", 6},
    {"juil", 7},
    {"lug", 7},
    {"lip", 7},
    {"j\u00fal", 7},
    {"июл", 7},
    {"Ιο\u03cd\u03bb", 7},
    {"Ιουλ", 7},
    {"Ιολ", 7},
    {"ιουλ", 7},
    {"ao\u00fb", 8},
    {"aou", 8},
    {"ago", 8},
    {"sie", 8},
    {"авг", 8},
    {"Α\u03cd\u03b3", 8},
    {"Αυγ", 8},
    {"αυγ", 8},
    {"set", 9},
    {"wrz", 9},
    {"сен", 9},
    {"Σεπ", 9},
    {"σεπ", 9},
    {"okt", 10},
    {"ott", 10},
    {"out", 10},
    {"pa\u017a", 10},
    {"окт", 10},
    {"Οκτ", 10},
    {"οκτ", 10},
    {"lis", 11},
    {"ноя", 11},
    {"Νο\u03ad", 11},
    {"Νοε", 11},
    {"νοε", 11},
    {"dez", 12},
    {"d\u00e9c", 12},
    {"dic", 12},
    {"gru", 12},
    {"дек", 12},
    {"Δεκ", 12},
    {"δεκ", 12},
});

struct Zone {
  string_view name;
  int minutes;
};
constexpr auto zones = std::to_array<Zone>({
    {"utc", 0},
    {"gmt", 0},
    {"z", 0},
    {"ut", 0},
    {"wet", 0},
    {"est", -300},
    {"edt", -240},
    {"et", -300},
    {"cst", -360},
    {"cdt", -300},
    {"ct", -360},
    {"mst", -420},
    {"mdt", -360},
    {"mt", -420},
    {"pst", -480},
    {"pdt", -420},
    {"pt", -480},
    {"akst", -540},
    {"akdt", -480},
    {"hst", -600},
    {"ast", -240},
    {"adt", -180},
    {"at", -240},
    {"nst", -210},
    {"ndt", -150},
    {"brt", -180},
    {"brst", -120},
    {"art", -180},
    {"bst", 60},
    {"west", 60},
    {"cet", 60},
    {"mez", 60},
    {"met", 60},
    {"cest", 120},
    {"mesz", 120},
    {"mest", 120},
    {"eet", 120},
    {"sast", 120},
    {"cat", 120},
    {"eest", 180},
    {"msk", 180},
    {"eat", 180},
    {"trt", 180},
    {"msd", 240},
    {"gst", 240},
    {"pkt", 300},
    {"ist", 330},
    {"npt", 345},
    {"ict", 420},
    {"wib", 420},
    {"hkt", 480},
    {"sgt", 480},
    {"pht", 480},
    {"awst", 480},
    {"jst", 540},
    {"kst", 540},
    {"acst", 570},
    {"acdt", 630},
    {"aest", 600},
    {"aedt", 660},
    {"nzst", 720},
    {"nzdt", 780},
    // RFC 822's military letters as they were meant, not as they were printed there
    {"a", 60},
    {"b", 120},
    {"c", 180},
    {"d", 240},
    {"e", 300},
    {"f", 360},
    {"g", 420},
    {"h", 480},
    {"i", 540},
    {"k", 600},
    {"l", 660},
    {"m", 720},
    {"n", -60},
    {"o", -120},
    {"p", -180},
    {"q", -240},
    {"r", -300},
    {"s", -360},
    {"t", -420},
    {"u", -480},
    {"v", -540},
    {"w", -600},
    {"x", -660},
    {"y", -720},
});

constexpr int unset = -1;

int month_of(string_view word) {
  const std::string lower = to_lower_ascii(word);
  for (const MonthName& name : month_names)
    if (lower.starts_with(name.begins)) return name.month;
  return 0;
}

struct Fields {
  int year = unset, month = unset, day = unset, ordinal = unset;
  int hour = unset, minute = 0, second = 0, micros = 0;
  std::optional<int> offset = std::nullopt;  // minutes east of UTC
  int half = 0;                              // 1 am, 2 pm
  bool korean = false;
};

bool is_leap(int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }
int days_in(int y, int m) { return m == 2 ? (is_leap(y) ? 29 : 28) : m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31; }
int full_year(int value, int digits) { return digits <= 2 ? value + (value < 50 ? 2000 : 1900) : digits == 3 ? value + 1900 : value; }

std::optional<Time> to_time(Fields f) {
  if (f.year < 1000 || f.year > 9999) return std::nullopt;
  int day_of_year = 0;
  if (f.ordinal != unset) {
    if (f.ordinal < 1 || f.ordinal > (is_leap(f.year) ? 366 : 365)) return std::nullopt;
    day_of_year = f.ordinal - 1;
    f.month = f.day = 1;
  }
  if (f.month == unset) f.month = 1;
  if (f.day == unset) f.day = 1;
  if (f.hour == unset) f.hour = 0;
  if (f.month < 1 || f.month > 12 || f.day < 1 || f.day > days_in(f.year, f.month)) return std::nullopt;
  if (f.half) {
    if (f.hour > 12 && f.half == 1) return std::nullopt;
    if (f.half == 1 && f.hour == 12) f.hour = 0;
    if (f.half == 2 && f.hour < 12) f.hour += 12;  // "14:00 PM" is 14 o'clock all the same
  }
  if (f.hour > 24 || f.minute > 59 || f.second > 60 || (f.hour == 24 && (f.minute || f.second || f.micros))) return std::nullopt;
  if (f.second == 60) f.second = 59;  // a leap second
  const int offset = f.offset.value_or(f.korean ? 540 : 0);
  if (offset < -15 * 60 || offset > 15 * 60) return std::nullopt;
  const auto date =
      std::chrono::sys_days(std::chrono::year(f.year) / std::chrono::month(static_cast<unsigned>(f.month)) / std::chrono::day(static_cast<unsigned>(f.day)));
  const Time time = Time(date) + std::chrono::days(day_of_year) + std::chrono::hours(f.hour) + std::chrono::minutes(f.minute - offset) +
                    std::chrono::seconds(f.second) + Duration(f.micros);
  static constexpr std::int64_t last = 253402300799ll * 1000000;  // 9999-12-31T23:59:59Z
  return to_micros(time) > last ? std::nullopt : std::optional(time);
}

// Reads left to right: times by their colons, months and zones by their names, years by their digits; what stays are two or three bare numbers.
class Scanner {
 public:
  explicit Scanner(string_view text) : text_(text) {}

  std::optional<Time> run() {
    while (at_ < text_.size() && !bad_) step();
    if (bad_ || !settle()) return std::nullopt;
    return to_time(fields_);
  }

 private:
  struct Number {
    int value, digits;
    char before;
  };  // before: the separator that stands directly in front

  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool dated() const { return fields_.year != unset || count_ >= 2; }

  void step() {
    const char c = peek();
    if (is_digit(c)) return number();
    if (is_word(c)) return word();
    if (c == '(') {  // a comment: a zone's name, mostly, and then the number before it counts
      const std::size_t end = text_.find(')', at_);
      if (fields_.offset || end == string_view::npos) at_ = end == string_view::npos ? text_.size() : end + 1;
      else ++at_;
      return;
    }
    if ((c == '+' || c == '-') && is_digit(peek(1)) && (fields_.hour != unset || (dated() && at_ && text_[at_ - 1] == ' '))) return offset();
    ++at_;
  }

  int digits(int most, int& count) {
    int value = 0;
    for (count = 0; count < most && is_digit(peek()); ++count) value = value * 10 + (text_[at_++] - '0');
    return value;
  }

  void number() {
    const std::size_t begin = at_;
    const char before = begin ? text_[begin - 1] : '\0';
    const char before_that = begin > 1 ? text_[begin - 2] : '\0';
    std::size_t length = 0;
    while (is_digit(peek(length))) ++length;
    int count = 0;
    const bool after_t = (before == 'T' || before == 't') && (is_digit(before_that) || before_that == '-') && dated();
    if (length <= 2 && peek(length) == ':' && is_digit(peek(length + 1))) return clock();
    if (after_t && (length == 2 || length == 4 || length == 6)) {  // T10, T1014, T101455
      fields_.hour = digits(2, count);
      if (is_digit(peek())) fields_.minute = digits(2, count);
      if (is_digit(peek())) fields_.second = digits(2, count);
      return fraction();
    }
    if (length == 8 && count_ == 0 && fields_.month == unset) {  // 20031231
      take_year(digits(4, count), 4);
      fields_.month = digits(2, count);
      fields_.day = digits(2, count);
      return;
    }
    if (length == 14 && count_ == 0) {  // 20031231101455
      take_year(digits(4, count), 4);
      fields_.month = digits(2, count);
      fields_.day = digits(2, count);
      fields_.hour = digits(2, count);
      fields_.minute = digits(2, count);
      fields_.second = digits(2, count);
      return;
    }
    if (length > 4) {
      bad_ = true;
      return;
    }
    const int value = digits(4, count);
    while (peek() == ' ' && (static_cast<unsigned char>(peek(1)) & 0x80)) ++at_;
    const string_view rest = text_.substr(at_);
    // Units written behind their number: 年月日 時分秒, 년월일 시분초.
    static constexpr std::pair<string_view, char> units[] = {{"年", 'Y'}, {"年", 'Y'}, {"년", 'Y'}, {"月", 'M'}, {"월", 'M'}, {"日", 'D'},
                                                             {"号", 'D'}, {"號", 'D'}, {"일", 'D'}, {"時", 'h'}, {"时", 'h'}, {"点", 'h'},
                                                             {"點", 'h'}, {"시", 'h'}, {"分", 'm'}, {"분", 'm'}, {"秒", 's'}, {"초", 's'}};
    for (const auto& [unit, kind] : units) {
      if (!rest.starts_with(unit)) continue;
      at_ += unit.size();
      const bool hangul = unit == "년" || unit == "월" || unit == "일" || unit == "시";
      fields_.korean = fields_.korean || hangul;
      switch (kind) {
        case 'Y': take_year(full_year(value, count), 4); return;
        case 'M': fields_.month = value; return;
        case 'D': fields_.day = value; return;
        case 'h': fields_.hour = value; return;
        case 'm': fields_.minute = value; return;
        default: fields_.second = value; return;
      }
    }
    if (count_ < 3) numbers_[static_cast<std::size_t>(count_++)] = {value, count, before};
    else bad_ = true;
  }

  void clock() {
    if (fields_.hour != unset) {
      bad_ = true;
      return;
    }
    int count = 0;
    fields_.hour = digits(2, count);
    ++at_;
    fields_.minute = digits(2, count);
    if (peek() == ':' && is_digit(peek(1))) {
      ++at_;
      fields_.second = digits(2, count);
    }
    if (is_digit(peek())) {
      bad_ = true;
      return;
    }
    fraction();
  }

  void fraction() {
    if ((peek() != '.' && peek() != ',') || !is_digit(peek(1))) return;
    ++at_;
    int scale = 100000;
    for (; is_digit(peek()); ++at_, scale /= 10) fields_.micros += (text_[at_] - '0') * scale;
  }

  void offset() {
    const int sign = text_[at_++] == '-' ? -1 : 1;
    int count = 0;
    int value = digits(4, count), minutes = 0;
    if (is_digit(peek())) {
      bad_ = true;
      return;
    }
    if (count > 2) {
      minutes = value % 100;
      value /= 100;
    } else if (peek() == ':' && is_digit(peek(1))) {
      ++at_;
      minutes = digits(2, count);
    }
    if (minutes > 59 || value > 15) {
      bad_ = true;
      return;
    }
    // "GMT+1" is one zone, "EST -0500" too: the number counts.
    fields_.offset = sign * (value * 60 + minutes);
  }

  void word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    const string_view word = text_.substr(begin, at_ - begin);
    static constexpr std::pair<string_view, int> halves[] = {{"오전", 1}, {"오후", 2}, {"上午", 1}, {"下午", 2}, {"晚上", 2},    {"凌晨", 1},
                                                             {"早上", 1}, {"中午", 2}, {"午前", 1}, {"午後", 2}, {"π\u03bc", 1}, {"μ\u03bc", 2}};
    for (const auto& [name, half] : halves)
      if (word.starts_with(name) || word.ends_with(name)) {
        fields_.half = half;
        fields_.korean = fields_.korean || name == "오전" || name == "오후";
        return;
      }
    if (equal_ignoring_case(word, "am") || (equal_ignoring_case(word, "a") && peek() == '.' && (peek(1) | 0x20) == 'm')) {
      fields_.half = 1;
      at_ += word.size() == 1 ? 2 : 0;
      return;
    }
    if (equal_ignoring_case(word, "pm") || (equal_ignoring_case(word, "p") && peek() == '.' && (peek(1) | 0x20) == 'm')) {
      fields_.half = 2;
      at_ += word.size() == 1 ? 2 : 0;
      return;
    }
    const bool touches_digit = begin && is_digit(text_[begin - 1]);
    if (touches_digit && (word == "T" || word == "t") && (is_digit(peek()) || peek() == '\0')) return;
    // A weekday may begin like a month (mar. of mardi, martes, martedì; maandag): then it stands in front, and the month's own name comes behind it.
    if ((fields_.month == unset || (weekday_perhaps_ && fields_.hour == unset)) && word.size() >= 3)
      if (const int month = month_of(word); month && !(count_ == 0 && peek() == ',')) {
        weekday_perhaps_ = fields_.month == unset && count_ == 0;
        fields_.month = month;
        named_month_ = true;
        return;
      }
    strange_ = true;
    if (fields_.hour != unset && !fields_.offset) {
      const std::string lower = to_lower_ascii(word);
      const auto* zone = std::ranges::find(zones, string_view(lower), &Zone::name);
      if (zone != zones.end()) {
        fields_.offset = zone->minutes;
        while (peek() == ' ') ++at_;
        if ((peek() == '+' || peek() == '-') && is_digit(peek(1))) offset();
      }
    }
  }

  void take_year(int year, int) {
    if (fields_.year != unset) bad_ = true;
    fields_.year = year;
  }

  // Gives the bare numbers their meaning.
  bool settle() {
    const Number& a = numbers_[0];
    const Number& b = numbers_[1];
    const Number& c = numbers_[2];
    if (fields_.year != unset) {
      if (count_ == 1 && fields_.month != unset && fields_.day == unset) fields_.day = a.value;
      return fields_.month != unset && (count_ == 0 || (count_ == 1 && fields_.day == a.value));
    }
    if (named_month_) {
      if (count_ == 1) {
        fields_.year = full_year(a.value, a.digits);
        return a.digits == 4;
      }
      if (count_ != 2) return false;
      const bool year_first = a.digits > 2 || a.value > 31;
      const Number& year = year_first ? a : b;
      fields_.year = full_year(year.value, year.digits);
      fields_.day = (year_first ? b : a).value;
      return true;
    }
    if (fields_.month != unset) return false;
    if (count_ == 1) {  // 2003, 200312 cannot be told from 031231: not read
      if (a.digits != 4 || fields_.hour != unset || strange_) return false;
      fields_.year = a.value;
      return true;
    }
    if (count_ == 2) {  // 2003-12, 2003-365
      if (a.digits != 4) return false;
      fields_.year = a.value;
      if (b.digits == 3) fields_.ordinal = b.value;
      else fields_.month = b.value;
      return b.digits >= 2;
    }
    if (count_ != 3) return false;
    if (a.digits >= 3) {
      fields_.year = full_year(a.value, a.digits);
      fields_.month = b.value;
      fields_.day = c.value;
      return true;
    }
    const char separator = b.before;
    if (c.digits >= 3 || separator == '/' || separator == '.') {
      fields_.year = full_year(c.value, c.digits);
      const bool month_first = separator == '/' && a.value <= 12;
      fields_.month = month_first ? a.value : b.value;
      fields_.day = month_first ? b.value : a.value;
      return true;
    }
    fields_.year = full_year(a.value, a.digits);  // 03-12-31
    fields_.month = b.value;
    fields_.day = c.value;
    return true;
  }

  string_view text_;
  std::size_t at_ = 0;
  Fields fields_;
  std::array<Number, 3> numbers_{};
  int count_ = 0;
  bool bad_ = false, named_month_ = false, strange_ = false, weekday_perhaps_ = false;  // strange: a word that says nothing
};

int two(const char* p) { return is_digit(p[0]) && is_digit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : -1000; }

// "Thu, 01 Jan 2004 19:48:21 GMT|+0000": nine of ten dates of RSS, read in place.
std::optional<Time> usual_rfc822(string_view t) {
  if (t.size() < 29 || t[3] != ',' || t[4] != ' ' || t[7] != ' ' || t[11] != ' ' || t[16] != ' ' || t[19] != ':' || t[22] != ':' || t[25] != ' ')
    return std::nullopt;
  const char* p = t.data();
  static constexpr string_view names = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const std::size_t month = names.find(t.substr(8, 3));
  Fields f{.year = two(p + 12) * 100 + two(p + 14),
           .month = static_cast<int>(month / 3) + 1,
           .day = two(p + 5),
           .hour = two(p + 17),
           .minute = two(p + 20),
           .second = two(p + 23)};
  if (month == string_view::npos || month % 3 || f.day < 0 || f.hour < 0 || f.minute < 0 || f.second < 0) return std::nullopt;
  const string_view zone = t.substr(26);
  if (zone == "GMT") f.offset = 0;
  else if (zone.size() == 5 && (zone[0] == '+' || zone[0] == '-') && two(p + 27) >= 0 && two(p + 29) >= 0 && two(p + 29) < 60)
    f.offset = (zone[0] == '-' ? -1 : 1) * (two(p + 27) * 60 + two(p + 29));
  else return std::nullopt;
  return to_time(f);
}

// A day of an ISO 8601 week as a day of a month, what follows as it was: 2026-W46-2T08:00Z, 2026W462, and 2026-W46 as its Monday.
std::optional<std::string> of_week(string_view t) {
  using namespace std::chrono;
  const bool dashed = t.size() > 4 && t[4] == '-';
  std::size_t at = dashed ? 5 : 4;
  if (t.size() < at + 3 || (t[at] != 'W' && t[at] != 'w') || two(t.data()) < 0 || two(t.data() + 2) < 0) return std::nullopt;
  const int number = two(t.data() + at + 1);
  at += 3;
  int day = 1;
  if (t.size() > at + (dashed ? 1 : 0) && (!dashed || t[at] == '-') && is_digit(t[at + (dashed ? 1 : 0)])) {
    at += dashed ? 2 : 1;
    day = t[at - 1] - '0';
  }
  const year of{two(t.data()) * 100 + two(t.data() + 2)};
  const sys_days fourth = sys_days(of / January / 4);  // is in the first week
  const sys_days monday = fourth - days(weekday(fourth).iso_encoding() - 1) + weeks(number - 1);
  if (number < 1 || day < 1 || day > 7 || year_month_day(monday + days(3)).year() != of) return std::nullopt;
  const year_month_day date(monday + days(day - 1));
  return fmt::format("{:04}-{:02}-{:02}{}", int(date.year()), unsigned(date.month()), unsigned(date.day()), t.substr(at));
}

}  // namespace

std::optional<Time> parse_date(string_view text) {
  text = trim(text);
  if (text.size() < 4 || text.size() > 200) return std::nullopt;
  if (const auto usual = usual_rfc822(text)) return usual;
  if (const auto plain = of_week(text)) return Scanner(*plain).run();
  if (std::ranges::all_of(text, is_digit)) {  // since 1970, in seconds or milliseconds; or a date in one piece
    if (text.size() == 10 || text.size() == 13) {
      std::int64_t value = 0;
      for (const char c : text) value = value * 10 + (c - '0');
      return from_micros(value * (text.size() == 10 ? 1000000 : 1000));
    }
    if (text.size() == 6) {  // 200312
      const Fields f{.year = two(text.data()) * 100 + two(text.data() + 2), .month = two(text.data() + 4), .day = 1};
      return to_time(f);
    }
    if (text.size() == 7) {  // 2003365
      const Fields f{.year = two(text.data()) * 100 + two(text.data() + 2), .ordinal = (text[4] - '0') * 100 + two(text.data() + 5)};
      return to_time(f);
    }
    if (text.size() != 4 && text.size() != 8 && text.size() != 14) return std::nullopt;
  }
  return Scanner(text).run();
}

}  // namespace weir
