// Where things come from, and how one reader sees it. A Source is shared by its readers; a Subscription is one reader's view of one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/id.h"
#include "base/result.h"
#include "base/time.h"

namespace weir {

enum class SourceKind { feed, push };
enum class Health {
  ok,
  failing,      // the last fetches failed; tried again later and later
  gone,         // 410, or absent for long: not tried by itself any more
  quarantined,  // its bytes killed the parser child; tried again rarely
};

// What a feed itself asks of whoever polls it. Kept, because a 304 says nothing of it.
struct PollWishes {
  std::optional<std::chrono::seconds> ttl;  // rss:ttl, sy:update*: not sooner than that
  std::uint32_t skip_hours = 0;             // bit h: not at hour h, UTC
  std::uint8_t skip_days = 0;               // bit d: not on that day, Sunday is bit 0
};

std::string_view to_string(SourceKind kind);
std::string_view to_string(Health health);

struct Source {
  SourceId id;
  SourceKind kind = SourceKind::feed;
  std::string url;  // as fetched, credentials in it: never leaves but through guard
  std::string title, home_page_url, description, language;
  std::string icon_type;  // MIME type of the stored icon; empty: none

  Health health = Health::ok;
  std::string error;                           // the last failure, for people; empty when ok
  std::string problem;                         // the same for other languages: JSON of its code, where, key and values
  std::int32_t failures = 0;                   // in a row
  std::optional<Time> fetched_at, changed_at;  // last good fetch; last one that brought something new
  std::optional<Time> next_at;                 // stored, so that a restart does not poll everything again
  std::string etag, last_modified;             // opaque bytes, sent back as they came
  PollWishes wishes;
};

struct Subscription {
  Source source;
  std::string title;                      // the reader's own name for it; empty: the source's
  std::string folder;                     // empty: none
  std::optional<std::int32_t> keep_days;  // of this source, 0 for ever; nothing: the reader's own setting
  std::int64_t unread = 0, total = 0;     // stored, never counted on request
};

}  // namespace weir
