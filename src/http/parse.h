// Our own pieces of reading requests: targets, queries, cookies, forms, bodies with items. Everything here is fed by the outside; no exceptions, no I/O.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "types/item.h"

namespace weir::http {

// %41 → A. Nothing for a broken escape, a NUL, or what is not UTF-8 when decoded. plus: "+" is a space, as in forms.
std::optional<std::string> percent_decode(std::string_view text, bool plus = false);
std::string percent_encode(std::string_view text);  // all but unreserved characters

// name=value pairs of a query or a form body, in their order; broken pairs are left out, which broken() tells. At most 256 are read.
class Query {
 public:
  static Query parse(std::string_view text);
  std::optional<std::string_view> get(std::string_view name) const;  // the first
  bool has(std::string_view name) const { return get(name).has_value(); }
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }
  bool broken() const { return broken_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
  bool broken_ = false;
};

struct Target {
  std::string path;   // as it came, begins with "/"; "http://host/x" and "http://host" are read as "/x" and "/"
  std::string query;  // as it came, without "?"
};
// Nothing for what is neither; a fragment is not allowed.
std::optional<Target> parse_target(std::string_view text);

// The value of a cookie; the first of that name. Quotes around it are removed.
std::optional<std::string> cookie(std::string_view header, std::string_view name);

// Does `path` match `pattern` ("/api/items/{item}/why")? {source} {item} {id} take digits (1 … 2^53), {rest} all that follows, decoded, without
// empty, "." and ".." segments. The values come in the order of the pattern.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view path);

// The items of a pushed body: a JSON array, a JSON Feed (its `items`), a single item, or JSON lines. The form is found by looking, not by its type.
// Errors: malformed (where: line, or item and member), too_large (more than `limit` items).
Result<std::vector<Item>> items_from_body(std::string_view body, std::size_t limit = 5000);

// A body that is one JSON object. Errors: malformed.
Result<json::object> object_from_body(std::string_view body);

// Does an Accept-Encoding header allow this coding? "br;q=0" does not.
bool accepts_encoding(std::string_view header, std::string_view coding);

std::string escape_html(std::string_view text);

}  // namespace weir::http
