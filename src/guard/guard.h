// Guard: may it leave? Finds secrets in text and is the only maker of Sealed<>: what a door or channel sends went through here, or it does not compile.
//
// Rules are one table (guard/rules.cc), views of the text another (guard/views.cc): a rule is tried on every view. Matching is linear in the text:
// one pass of an Aho–Corasick automaton over the rules' literals, RE2 only where a literal stands, then the issuer's checksum where it has one.
//
// What each exit lets through (interfaces.md, last section):
//   reader       an item's own text, to its own reader: passes, with its findings; credentials in URLs never do
//   asset        bytes of our own binary: not looked at
//   the others   every finding is redacted
// What could not be scanned in full does not leave by any of them but asset.
//
// Threads: immutable after construction; any thread may call anything. Ownership: borrows nothing. Errors: none, the answer is always a Verdict or a
// Sealed. Cost: construction a few ms (make one, share it); scan and seal by bench/guard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "types/item.h"
#include "types/sealed.h"
#include "types/verdict.h"

namespace weir::guard {

enum class Exit { reader, asset, export_file, error, event, log, mail };

// Grows with every change of a rule or view: kept verdicts of another version are not used.
inline constexpr std::uint32_t policy_version = 1;
// A text longer than this, or with more findings than that, is blocked: not scanned in full is not scanned.
inline constexpr std::size_t max_text = std::size_t{64} << 20, max_findings = 10'000;

class Guard {
 public:
  Guard();
  ~Guard();
  Guard(Guard&&) noexcept;
  Guard& operator=(Guard&&) noexcept;

  // Findings in the order of their start; offsets are bytes of `text`, whatever view matched. Never holds a secret: spans only.
  Verdict scan(std::string_view text, std::string_view field = {}) const;
  // Every string of the item: text, URLs, authors, tags, attachments and what is in `extra`. Fields are named as their JSON path: "title",
  // "authors.0.name". This is the verdict to keep, by the item's content hash and policy_version.
  Verdict scan(const Item& item) const;

  // A body on its way out. reader: only credentials in URLs are looked for and cut, so a list does not scan its items again, and an address with a
  // password cannot slip through a page that shows no item. What cannot be scanned becomes `withheld`.
  Sealed<std::string> seal(Exit exit, std::string body) const;
  // An item on its way out, by its kept verdict (one of another policy_version is not believed: the item is scanned). block: only dates and the
  // numbers of `_weir` are left. This is the way by which items reach bodies; `verdict` must be of exactly this item.
  Sealed<Item> seal(Exit exit, Item item, const Verdict& verdict) const;

 private:
  struct Rules;
  Verdict scan_urls(std::string_view text) const;
  std::unique_ptr<const Rules> rules_;
};

// `text` with the spans of the findings of `field` that ask for it (redact and severer) replaced; a block leaves only `withheld`.
std::string redact(std::string_view text, const Verdict& verdict, std::string_view field = {});

inline constexpr std::string_view withheld = R"({"error":{"code":"refused","message":"withheld by guard: it could not be scanned in full"}})";

// The forms of `weir guard scan` and of the store: [{class, rule, field, start, end, view, action}].
json::array to_json(const Verdict& verdict);
Result<Verdict> verdict_from_json(const json::value& findings, std::uint32_t policy);
std::string_view to_string(Action action);

}  // namespace weir::guard
