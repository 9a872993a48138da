// Pictures from outside: the type is read from the first bytes, never from a header or a name, and nothing is decoded. Pure; any thread.
#pragma once

#include <string_view>

#include "base/result.h"

namespace weir {

// The MIME type to serve the bytes with: image/png, jpeg, gif, webp, x-icon or avif. Errors: refused for everything else, SVG among it (it runs scripts).
Result<std::string_view> image_type(std::string_view bytes);

}  // namespace weir
