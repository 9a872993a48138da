#include "base/result.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace weir {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::invalid: return "invalid";
    case Code::not_found: return "not_found";
    case Code::exists: return "exists";
    case Code::unauthorised: return "unauthorised";
    case Code::forbidden: return "forbidden";
    case Code::malformed: return "malformed";
    case Code::not_a_feed: return "not_a_feed";
    case Code::too_large: return "too_large";
    case Code::too_deep: return "too_deep";
    case Code::encoding: return "encoding";
    case Code::refused: return "refused";
    case Code::corrupt: return "corrupt";
    case Code::io: return "io";
    case Code::timeout: return "timeout";
    case Code::crashed: return "crashed";
    case Code::unavailable: return "unavailable";
    case Code::internal: return "internal";
  }
  return "internal";
}

Sentence say(std::string_view key, std::string_view english, std::initializer_list<Value> values) {
  Sentence out{.text = {}, .key = std::string(key), .values = values};
  for (std::size_t at = 0; at < english.size();) {
    const std::size_t open = english.find('{', at), close = english.find('}', open);
    out.text += english.substr(at, open - at);
    if (close == std::string_view::npos) break;
    const std::string_view name = english.substr(open + 1, close - open - 1);
    const auto value = std::ranges::find(values, name, &Value::name);
    CHECK(value != values.end());
    out.text += value->text;
    at = close + 1;
  }
  return out;
}

std::string Error::text() const {
  std::string out;
  if (!where.empty()) out += where + ": ";
  out += message;
  if (!remedy.empty()) out += " (" + remedy + ")";
  return out;
}

void detail::check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "weir: a mistake of ours: %s is false at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace weir
