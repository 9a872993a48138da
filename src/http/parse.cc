#include "http/parse.h"

#include <charconv>
#include <cstdint>

#include "base/text.h"
#include "base/url.h"

namespace weir::http {
namespace {

constexpr std::size_t max_pairs = 256;
constexpr std::int64_t max_id = std::int64_t{1} << 53;  // what a JSON number in a browser still holds

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool unreserved(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~'; }

bool is_id(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= max_id && text[0] != '0';
}

std::optional<std::string> safe_rest(std::string_view text) {
  auto decoded = percent_decode(text);
  if (!decoded || decoded->find('\\') != std::string::npos) return std::nullopt;
  for (const std::string_view part : split(*decoded, '/'))
    if (part.empty() || part == "." || part == "..") return std::nullopt;
  return decoded;
}

Result<Item> item_at(const json::value& value, const std::string& place) {
  auto item = item_from_json(value);
  if (!item) {
    item.error().where = item.error().where.empty() ? place : place + ", " + item.error().where;
    return item;
  }
  // An address is http or https; another one is left out, as it is of a feed's items.
  if (!is_http(item->url)) item->url.clear();
  std::erase_if(item->attachments, [](const Attachment& one) { return !is_http(one.url); });
  return item;
}

Status append(const json::array& values, std::size_t limit, std::vector<Item>& out) {
  if (values.size() > limit) return fail(Code::too_large, "more than " + std::to_string(limit) + " items in one request", {}, "send them in parts");
  for (std::size_t i = 0; i < values.size(); ++i) out.push_back(TRY(item_at(values[i], "item " + std::to_string(i + 1))));
  return {};
}

Result<std::vector<Item>> items_from_lines(std::string_view body, std::size_t limit) {
  std::vector<Item> items;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < body.size();) {
    const std::string_view line = body.substr(begin, body.find('\n', begin) - begin);
    begin += line.size() + 1;
    ++number;
    if (trim(line).empty()) continue;
    if (items.size() == limit) return fail(Code::too_large, "more than " + std::to_string(limit) + " items in one request", {}, "send them in parts");
    const std::string place = "line " + std::to_string(number);
    auto value = parse_json(line);
    if (!value) return fail(value.error().code, value.error().message, place + ", " + value.error().where);
    items.push_back(TRY(item_at(*value, place)));
  }
  return items;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += plus && text[i] == '+' ? ' ' : text[i];
    }
  }
  if (out.find('\0') != std::string::npos || !is_valid_utf8(out)) return std::nullopt;
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (unreserved(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

Query Query::parse(std::string_view text) {
  Query query;
  for (const std::string_view pair : split(text, '&')) {
    if (query.pairs_.size() == max_pairs) break;
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    auto name = percent_decode(pair.substr(0, equals), true);
    auto value = percent_decode(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!name || !value) query.broken_ = true;
    else if (!name->empty()) query.pairs_.emplace_back(std::move(*name), std::move(*value));
  }
  return query;
}

std::optional<std::string_view> Query::get(std::string_view name) const {
  for (const auto& [key, value] : pairs_)
    if (key == name) return std::string_view(value);
  return std::nullopt;
}

std::optional<Target> parse_target(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '#') return std::nullopt;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.size() >= scheme.size() && equal_ignoring_case(text.substr(0, scheme.size()), scheme)) {
      const auto slash = text.find_first_of("/?", scheme.size());
      if (slash == scheme.size()) return std::nullopt;
      text = slash == std::string_view::npos ? std::string_view("/") : text.substr(slash);
      if (text[0] == '?') return Target{"/", std::string(text.substr(1))};
      break;
    }
  }
  if (text.empty() || text[0] != '/') return std::nullopt;
  const auto question = text.find('?');
  if (question == std::string_view::npos) return Target{std::string(text), {}};
  return Target{std::string(text.substr(0, question)), std::string(text.substr(question + 1))};
}

std::optional<std::string> cookie(std::string_view header, std::string_view name) {
  for (const std::string_view part : split(header, ';')) {
    const auto equals = part.find('=');
    if (equals == std::string_view::npos || trim(part.substr(0, equals)) != name) continue;
    std::string_view value = trim(part.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view path) {
  std::vector<std::string> values;
  while (!pattern.empty()) {
    if (path.empty() || pattern[0] != '/' || path[0] != '/') return std::nullopt;
    pattern.remove_prefix(1);
    path.remove_prefix(1);
    const std::string_view want = pattern.substr(0, pattern.find('/')), got = path.substr(0, path.find('/'));
    if (want == "{rest}") {
      auto rest = safe_rest(path);
      if (!rest) return std::nullopt;
      values.push_back(std::move(*rest));
      return values;
    }
    if (!want.empty() && want[0] == '{') {
      if (!is_id(got)) return std::nullopt;
      values.emplace_back(got);
    } else if (want != got) {
      return std::nullopt;
    }
    pattern.remove_prefix(want.size());
    path.remove_prefix(got.size());
  }
  if (!path.empty()) return std::nullopt;
  return values;
}

Result<std::vector<Item>> items_from_body(std::string_view body, std::size_t limit) {
  if (body.starts_with("\xEF\xBB\xBF")) body.remove_prefix(3);
  body = trim(body);
  if (body.empty()) return fail(Code::malformed, "the body is empty; a JSON array, a JSON Feed or JSON lines of items is expected");
  // Lines when the first line is a whole object and more follows: a document over several lines never begins with one.
  const auto end = body.find('\n');
  if (body[0] == '{' && end != std::string_view::npos && parse_json(body.substr(0, end))) return items_from_lines(body, limit);
  const json::value value = TRY(parse_json(body));
  std::vector<Item> items;
  if (const json::array* array = value.if_array()) {
    TRY(append(*array, limit, items));
  } else if (const json::object* object = value.if_object()) {
    const json::array* feed = find_array(*object, "items");
    if (!feed && object->contains("items")) return fail(Code::malformed, "an array is expected", "items");
    if (feed) TRY(append(*feed, limit, items));
    else items.push_back(TRY(item_at(value, "item 1")));
  } else {
    return fail(Code::malformed, "a JSON array, a JSON Feed or JSON lines of items is expected");
  }
  return items;
}

Result<json::object> object_from_body(std::string_view body) {
  json::value value = TRY(parse_json(body));
  if (!value.is_object()) return fail(Code::malformed, "a JSON object is expected");
  return std::move(value.get_object());
}

bool accepts_encoding(std::string_view header, std::string_view coding) {
  for (const std::string_view part : split(header, ',')) {
    const auto semicolon = part.find(';');
    if (!equal_ignoring_case(trim(part.substr(0, semicolon)), coding)) continue;
    if (semicolon == std::string_view::npos) return true;
    std::string_view weight = trim(part.substr(semicolon + 1));  // q=0, q=0.000: not at all
    if (!weight.starts_with("q=")) return true;
    weight.remove_prefix(2);
    return weight.find_first_not_of("0.") != std::string_view::npos;
  }
  return false;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else if (c == '\'') out += "&#39;";
    else out += c;
  }
  return out;
}

}  // namespace weir::http
