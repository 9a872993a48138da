// Bytes of unknown charset → UTF-8. In this order: byte order mark, HTTP header, the document's own declaration, the bytes themselves; a label that the
// bytes contradict is passed over. Decoders and labels are those of the WHATWG Encoding Standard (lexbor), and UTF-32. Any thread; linear.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir {

struct Decoded {
  std::string text;      // valid UTF-8; no control characters but tab and line feed; every line end is a line feed
  std::string encoding;  // the WHATWG name in lower case: "utf-8", "windows-1252" (also for latin1 and ascii), "gbk" (also for gb2312), …
  std::vector<std::string> warnings;
};

// `content_type` is an HTTP header as it came, or empty. Errors: encoding (bytes that are no text in any charset that was tried).
Result<Decoded> to_utf8(std::string_view bytes, std::string_view content_type = {});

// The charset parameter of a Content-Type header, as written; empty when there is none.
std::string_view charset_parameter(std::string_view content_type);

// The WHATWG name of a label in lower case; empty when nobody knows it.
std::string charset_name(std::string_view label);

}  // namespace weir
