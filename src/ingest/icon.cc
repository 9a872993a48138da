#include "ingest/icon.h"

#include "base/text.h"

namespace weir {

namespace {

using namespace std::string_view_literals;

struct Magic {
  std::size_t at;
  std::string_view bytes;
  std::size_t at2;
  std::string_view bytes2;  // empty: nothing more is asked
  std::string_view type;
};

// mimesniff.spec.whatwg.org §6.1, without BMP; AVIF by its ISO brand.
constexpr Magic kMagic[] = {
    {0, "\x89PNG\r\n\x1a\n"sv, 12, "IHDR"sv, "image/png"},
    {0, "\xff\xd8\xff"sv, 0, ""sv, "image/jpeg"},
    {0, "GIF87a"sv, 0, ""sv, "image/gif"},
    {0, "GIF89a"sv, 0, ""sv, "image/gif"},
    {0, "RIFF"sv, 8, "WEBPVP8"sv, "image/webp"},
    {0, "\0\0\1\0"sv, 0, ""sv, "image/x-icon"},
    {4, "ftypavif"sv, 0, ""sv, "image/avif"},
    {4, "ftypavis"sv, 0, ""sv, "image/avif"},
};

constexpr std::size_t kSmallest = 22;  // an icon's header with one directory entry; the smallest GIF has 26 bytes

}  // namespace

Result<std::string_view> image_type(std::string_view bytes) {
  if (bytes.size() >= kSmallest)
    for (const Magic& magic : kMagic)
      if (bytes.substr(magic.at).starts_with(magic.bytes) && bytes.substr(magic.at2).starts_with(magic.bytes2)) return magic.type;
  const std::string start = to_lower_ascii(bytes.substr(0, 1024));
  if (start.find("<svg") != std::string::npos) return fail(Code::refused, "an SVG picture, which may carry scripts");
  return fail(Code::refused, "no picture of a kind that is shown: PNG, JPEG, GIF, WebP, ICO, AVIF");
}

}  // namespace weir
