// URLs: no crash; the short way of resolve() agrees with the parser; normal form and canonical form are stable; nothing of a password stays.
#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "base/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = text.find('\n');
  const std::string_view relative = text.substr(0, cut), base = cut == std::string_view::npos ? std::string_view() : text.substr(cut + 1);
  const auto demand = [](bool holds) {
    if (!holds) std::abort();
  };

  const Result<Url> url = parse_url(relative);
  const std::string normal = resolve(relative);
  demand(url.has_value() == !normal.empty());
  if (url) {
    demand(is_valid_utf8(normal));
    demand(resolve(normal) == normal);
    demand(is_http(relative) == (url->scheme == "http" || url->scheme == "https"));
    const std::string parts = to_string(*url), shown = without_credentials(relative);
    const Result<Url> again = parse_url(parts), open = parse_url(shown);
    demand(again.has_value() && *again == *url);
    demand(!url->authority || !open || (open->username.empty() && open->password.empty()));
    demand(canonical_url(canonical_url(relative)) == canonical_url(relative));
  }
  without_credentials(text);
  const std::string absolute = resolve(relative, base);
  if (!absolute.empty()) demand(resolve(absolute) == absolute && resolve(absolute, base) == absolute);
  return 0;
}
