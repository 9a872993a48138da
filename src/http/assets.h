// The reader's files: built into the program by cmake/embed.cmake, or read from a folder during development (RouterOptions::assets, WEIR_WEB_DIR).
// Any thread. Bytes point into the program, or into `owned`.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::http {

struct Asset {
  std::string_view bytes;
  std::string type;      // MIME type
  std::string encoding;  // "br", "gzip" or nothing
  std::string etag;
  std::string cache;  // value of Cache-Control: for ever when the name holds a hash
  std::shared_ptr<const std::string> owned;
};

// One row of the table that cmake/embed.cmake writes: path, its bytes, and the .br and .gz beside it (may be empty).
struct EmbeddedAsset {
  std::string_view path, bytes, br, gz;
};

// `path` as "index.html" or "assets/main-1a2b3c4d5e.js". The smallest form that Accept-Encoding allows. Errors: not_found.
Result<Asset> find_asset(const std::string& folder, std::string_view path, std::string_view accept_encoding);

}  // namespace weir::http
