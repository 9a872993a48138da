// Our own pieces of reading requests: no crash; what is decoded is UTF-8 without NUL; encoding undoes decoding; a path that matches holds no way upwards.
// Every piece sees every input. Beast reads the rest of HTTP.
#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "http/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  using namespace weir::http;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto demand = [](bool holds) {
    if (!holds) std::abort();
  };

  for (const bool plus : {false, true})
    if (const auto decoded = percent_decode(text, plus)) {
      demand(is_valid_utf8(*decoded) && decoded->find('\0') == std::string::npos);
      demand(percent_decode(percent_encode(*decoded)) == *decoded);
    }
  const Query query = Query::parse(text);
  for (const auto& [name, value] : query.pairs()) demand(!name.empty() && is_valid_utf8(name) && is_valid_utf8(value));
  if (const auto target = parse_target(text)) {
    demand(target->path.starts_with('/') && target->path.find_first_of("? #") == std::string::npos);
    if (const auto rest = match("/assets/{rest}", target->path))
      demand(("/" + rest->front() + "/").find("/../") == std::string::npos && rest->front()[0] != '/');
    for (const std::string_view pattern : {"/", "/api/items/{item}/why", "/api/sources/{source}", "/api/users/{id}/link"}) match(pattern, target->path);
  }
  if (const auto value = cookie(text, "weir")) demand(value->size() <= size);
  accepts_encoding(text, "gzip");
  demand(escape_html(text).find_first_of("<>\"'") == std::string::npos);
  if (const auto items = items_from_body(text, 100)) demand(items->size() <= 100);
  else demand(!items.error().message.empty());
  (void)object_from_body(text);
  return 0;
}
