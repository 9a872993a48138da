// One thing received: the JSON Feed 1.1 item, one form on files, pipes and API (interfaces.md "An item"). Absent is absent: an empty string or vector
// here is a field that is not written.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"

namespace weir {

struct Author {
  std::string name, url;
  json::object extra = {};  // unknown members, as the item's own
  bool operator==(const Author&) const = default;
};

struct Attachment {
  std::string url, mime_type;
  std::optional<std::int64_t> size_in_bytes = {};
  json::object extra = {};
  bool operator==(const Attachment&) const = default;
};

struct Item {
  std::string id;     // guid, atom:id or rdf:about as written, else the url, else a hash
  std::string url;    // http(s) only
  std::string title;  // plain text
  std::string content_html, content_text, summary;
  std::optional<Time> date_published, date_modified;
  std::vector<Author> authors;
  std::vector<std::string> tags;
  std::string language;  // BCP 47
  std::vector<Attachment> attachments;
  std::string image;
  json::object extra;  // unknown members, `_weir` among them, carried through unchanged

  bool operator==(const Item&) const = default;
};

// What search indexes and what the encoder reads: the title, a line feed, then content_text, else the text of content_html, else the summary. The HTML
// must be ours (sanitised: every tag closed, every & < > in text escaped): tags are dropped, not parsed. Linear.
std::string plain_text(const Item& item);
std::string text_of_clean_html(std::string_view html);

// The members of `from` that are not among `known`: what an author or attachment carries besides.
json::object unknown_members(const json::object& from, std::initializer_list<std::string_view> known);

// Members in the order of the specification, then what is unknown.
json::object to_json(const Item& item);
// Errors: malformed, with the member in `where`. Strings are repaired to UTF-8 without NUL; an `id` that is a number becomes its text.
Result<Item> item_from_json(const json::value& value);

}  // namespace weir
