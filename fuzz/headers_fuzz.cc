// Header lines of a reply, dates among them.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text.h"
#include "ingest/headers.h"
#include "ingest/icon.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ReplyHeaders headers;
  std::size_t given = 0;
  for (const std::string_view line : split(text, '\n')) {
    headers.add(line);
    given += line.size() + 1;
  }
  const std::size_t kept = headers.content_type.size() + headers.location.size() + headers.etag.size() + headers.last_modified.size() +
                           headers.retry_after.size() + headers.date.size();
  CHECK(kept <= given);
  const Time now = from_micros(1'800'000'000'000'000);
  const auto within_a_year = [](const std::optional<Duration>& d) { return !d || (*d >= Duration(0) && *d <= std::chrono::hours(24 * 365)); };
  CHECK(within_a_year(parse_max_age(headers.cache_control)));
  CHECK(within_a_year(parse_retry_after(headers.retry_after, headers.date, now)));
  if (const auto time = parse_http_date(headers.last_modified)) CHECK(*time >= Time{});
  if (const auto type = image_type(text)) CHECK(type->starts_with("image/"));
  return 0;
}
