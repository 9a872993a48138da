// What a reply's header lines say that a feed reader acts on. Pure; one thread at a time. Lines are hostile: anything that does not read as it should is
// passed over, and nothing is kept beyond the few values named here.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace weir {

struct ReplyHeaders {
  int status = 0;
  std::string content_type, location;
  std::string etag, last_modified;  // opaque: only the white space around them is gone
  std::string retry_after, date, cache_control;
  std::string encoding;  // Content-Encoding, lower case, codings joined by ","

  // One line as it came, with or without its line end. A status line starts over: what stood before belonged to an interim reply (1xx).
  void add(std::string_view line);
};

// max-age of a Cache-Control value; nothing without one or beside no-store or no-cache. More than a year counts as a year.
std::optional<Duration> parse_max_age(std::string_view cache_control);

// Seconds or an HTTP-date; a date counts from `date`, the reply's own Date, else from `now`. Never negative; more than a year counts as a year.
std::optional<Duration> parse_retry_after(std::string_view retry_after, std::string_view date, Time now);

// RFC 9110's three forms: "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994". Years 1970 to 9999.
std::optional<Time> parse_http_date(std::string_view text);

}  // namespace weir
