#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace weir {
namespace {

// The first number that no double holds, as a JSON pointer. Boost 1.81 reads it as infinity, and 0e999 as NaN, which it would write as words that are no
// JSON: the latter becomes the 0 that it is.
std::optional<std::string> beyond_double(json::value& value) {
  if (double* number = value.if_double()) {
    if (std::isnan(*number)) *number = 0;
    if (std::isinf(*number)) return "";
  } else if (json::array* array = value.if_array()) {
    for (std::size_t i = 0; i < array->size(); ++i)
      if (const auto at = beyond_double((*array)[i])) return "/" + std::to_string(i) + *at;
  } else if (json::object* object = value.if_object()) {
    for (auto& member : *object)
      if (const auto at = beyond_double(member.value())) return "/" + std::string(member.key()) + *at;
  }
  return std::nullopt;
}

}  // namespace

Result<json::value> parse_json(std::string_view text, std::size_t depth) {
  json::parse_options options;
  options.max_depth = depth;
  json::stream_parser parser({}, options);
  boost::system::error_code error;
  const std::size_t used = parser.write_some(text.data(), text.size(), error);
  if (!error && used < text.size()) {
    const auto rest = text.substr(used).find_first_not_of(" \t\r\n");
    if (rest != std::string_view::npos) return fail(Code::malformed, say("json_goes_on", "JSON goes on after its end"), "byte " + std::to_string(used + rest));
  }
  if (!error) parser.finish(error);
  if (error == json::error::too_deep)
    return fail(Code::too_deep, say("json_too_deep", "JSON is nested deeper than {limit} levels", {{"limit", depth}}), "byte " + std::to_string(used));
  if (error) return fail(Code::malformed, say("not_json", "not JSON: {reason}", {{"reason", error.message()}}), "byte " + std::to_string(used));
  json::value value = parser.release();
  if (const auto at = beyond_double(value)) return fail(Code::malformed, say("json_number", "a number in JSON is greater than a double can be"), *at);
  return value;
}

const json::value* find(const json::object& object, std::string_view key) { return object.if_contains(key); }

std::optional<std::string_view> find_string(const json::object& object, std::string_view key) {
  const json::value* v = object.if_contains(key);
  if (!v || !v->is_string()) return std::nullopt;
  return std::string_view(v->get_string());
}

std::optional<std::int64_t> find_int(const json::object& object, std::string_view key) {
  const json::value* v = object.if_contains(key);
  if (!v) return std::nullopt;
  if (v->is_int64()) return v->get_int64();
  if (v->is_uint64() && v->get_uint64() <= INT64_MAX) return static_cast<std::int64_t>(v->get_uint64());
  if (v->is_double() && std::abs(v->get_double()) < 9e15 && std::trunc(v->get_double()) == v->get_double()) return static_cast<std::int64_t>(v->get_double());
  return std::nullopt;
}

std::optional<double> find_number(const json::object& object, std::string_view key) {
  const json::value* v = object.if_contains(key);
  if (!v || !v->is_number()) return std::nullopt;
  return v->to_number<double>();
}

std::optional<bool> find_bool(const json::object& object, std::string_view key) {
  const json::value* v = object.if_contains(key);
  if (!v || !v->is_bool()) return std::nullopt;
  return v->get_bool();
}

const json::array* find_array(const json::object& object, std::string_view key) {
  const json::value* v = object.if_contains(key);
  return v ? v->if_array() : nullptr;
}

const json::object* find_object(const json::object& object, std::string_view key) {
  const json::value* v = object.if_contains(key);
  return v ? v->if_object() : nullptr;
}

void put_name(json::object& out, std::string_view key, const std::vector<Value>& values) {
  if (key.empty()) return;
  out["key"] = key;
  if (values.empty()) return;
  json::object named;
  for (const Value& value : values) named[value.name] = value.text;
  out["values"] = std::move(named);
}

void take_name(const json::object& from, Error& error) {
  constexpr std::size_t longest_name = 40, longest_value = 1'000, most_values = 8;
  const auto is_name = [](std::string_view text) {
    return !text.empty() && text.size() <= longest_name &&
           std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
  };
  const std::string_view key = find_string(from, "key").value_or("");
  if (!is_name(key)) return;
  error.key = key;
  const json::object* values = find_object(from, "values");
  if (values == nullptr) return;
  for (const auto& [name, value] : *values)
    if (is_name(name) && value.is_string() && value.get_string().size() <= longest_value && error.values.size() < most_values)
      error.values.emplace_back(name, std::string_view(value.get_string()));
}

}  // namespace weir
