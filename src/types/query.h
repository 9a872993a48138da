// What a reader asks for, and a page of the answer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.h"
#include "types/item.h"
#include "types/verdict.h"

namespace weir {

enum class Order { newest, oldest, ranked, relevance };
enum class ReadState { unread, read, starred, all };

std::string_view to_string(Order order);
std::string_view to_string(ReadState state);
std::optional<Order> order_named(std::string_view text);
std::optional<ReadState> read_state_named(std::string_view text);

struct ItemQuery {
  Order order = Order::newest;
  ReadState state = ReadState::all;
  SourceId source;                    // none: every subscription
  std::optional<std::string> folder;  // of this reader
  std::string text;                   // words, "phrases", Chinese; empty: no search
  std::size_t limit = 50;             // 1 … 1,000 with bodies, 1 … 10,000 ids
  std::string cursor;                 // of the page before; empty: the first
  std::optional<Time> after, before;  // received or changed then: at or after, strictly before (Google Reader's ot and nt)
  bool bodies = true;                 // content_html, content_text, summary
};

struct StoredItem {
  ItemId id;
  SourceId source;
  Time at{};       // its place in lists: received, or published when that is earlier and it came with its source's first fetch
  Time changed{};  // received, or its text last changed: what a client that syncs asks for
  bool read = false, starred = false;
  Item item;
  Verdict verdict;              // what guard said of it when it came in
  std::optional<double> score;  // of a ranked list
};

struct Page {
  std::vector<StoredItem> items;
  std::string cursor;  // empty on the last page
  Sentence note;       // what the order did, when that needs saying: "best of the newest 200 and the title hits"
};

}  // namespace weir
