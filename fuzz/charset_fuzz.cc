// Charsets: the first line is a Content-Type header, the rest a document; what comes out is UTF-8 without controls under a name that is known.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "ingest/charset.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(bytes.find('\n'), bytes.size());
  for (const std::string_view header : {bytes.substr(0, line), std::string_view()}) {
    const auto decoded = to_utf8(bytes.substr(line), header);
    if (!decoded) continue;
    if (!is_valid_utf8(decoded->text) || charset_name(decoded->encoding) != decoded->encoding) std::abort();
    for (const char c : decoded->text)
      if (static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t') std::abort();
    // What is UTF-8 once stays as it is.
    const auto again = to_utf8(decoded->text, "text/xml; charset=utf-8");
    if (!again || (again->text != decoded->text && !decoded->text.starts_with("\xEF\xBB\xBF"))) std::abort();
  }
  return 0;
}
