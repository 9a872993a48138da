// JSON is Boost.JSON; this is its one home. Parsing goes through parse_json(), which sets the limits for bytes from outside.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir {

namespace json = boost::json;

// Errors: malformed (with the byte offset in `where`; of a number that no double holds, its JSON pointer), too_deep (more than `depth` levels). Duplicate keys: the last one wins.
Result<json::value> parse_json(std::string_view text, std::size_t depth = 64);

// The member when it is there and of that kind; nothing otherwise.
const json::value* find(const json::object& object, std::string_view key);
std::optional<std::string_view> find_string(const json::object& object, std::string_view key);
std::optional<std::int64_t> find_int(const json::object& object, std::string_view key);  // also a double that is whole
std::optional<double> find_number(const json::object& object, std::string_view key);
std::optional<bool> find_bool(const json::object& object, std::string_view key);
const json::array* find_array(const json::object& object, std::string_view key);
const json::object* find_object(const json::object& object, std::string_view key);

// A sentence's name beside its text: "key" and "values", {"http_status", {"status": "404"}}. Without a name nothing is added.
void put_name(json::object& out, std::string_view key, const std::vector<Value>& values);
// The other way, of an object from a less trusted process: what is no name, or too much of one, is left out.
void take_name(const json::object& from, Error& error);

}  // namespace weir
