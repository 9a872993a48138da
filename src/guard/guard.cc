#include "guard/guard.h"

#include <re2/re2.h>

#include <algorithm>

#include "base/text.h"
#include "guard/literals.h"
#include "guard/rules.h"
#include "guard/views.h"

namespace weir::guard {
namespace {

constexpr std::string_view unscanned = "unscanned", in_urls = "secret.url.";

struct Found {
  const Rule* rule;
  Span span;
};

Finding block(std::string_view rule, std::string_view field, std::size_t size) {
  return {std::string(unscanned), std::string(rule), std::string(field), 0, size, "plain", Action::block};
}

void judge(Verdict& verdict) {
  verdict.policy = policy_version;
  for (const Finding& finding : verdict.findings) verdict.action = std::max(verdict.action, finding.action);
}

std::vector<std::string_view> all_literals() {
  std::vector<std::string_view> out;
  for (const Rule& rule : rules()) out.insert(out.end(), rule.literals.begin(), rule.literals.end());
  return out;
}

std::vector<std::uint16_t> all_owners() {
  std::vector<std::uint16_t> out;
  for (std::size_t i = 0; i < rules().size(); ++i) out.insert(out.end(), rules()[i].literals.size(), static_cast<std::uint16_t>(i));
  return out;
}

// The word stands within 64 bytes before, at the start of a word.
bool has_context(std::string_view text, std::size_t at, std::string_view word) {
  if (word.empty()) return true;
  const std::size_t from = at > 64 ? at - 64 : 0;
  const std::string before = to_lower_ascii(text.substr(from, at - from));
  for (std::size_t i = before.find(word); i != std::string::npos; i = before.find(word, i + 1))
    if (starts_word(before, i)) return true;
  return false;
}

}  // namespace

struct Guard::Rules {
  Literals literals{all_literals(), all_owners()};
  std::vector<std::unique_ptr<const RE2>> patterns;  // by rule; empty where it has a function

  Rules() {
    RE2::Options options;
    options.set_encoding(RE2::Options::EncodingLatin1);  // bytes: offsets stay, and what is not UTF-8 hides nothing
    options.set_log_errors(false);
    options.set_longest_match(true);
    for (const Rule& rule : rules()) {
      patterns.push_back(rule.match ? nullptr : std::make_unique<const RE2>(re2::StringPiece(rule.pattern.data(), rule.pattern.size()), options));
      CHECK(rule.match || patterns.back()->ok());
    }
  }

  // Where the rule's token that begins at `at` ends; 0 when there is none.
  std::size_t token_end(const Rule& rule, const RE2& pattern, std::string_view text, std::size_t at) const {
    if (rule.token && !starts_word(text, at)) return 0;
    const std::string_view window = text.substr(at, rule.longest);
    re2::StringPiece match;
    if (!pattern.Match(re2::StringPiece(window.data(), window.size()), 0, window.size(), RE2::ANCHOR_START, &match, 1)) return 0;
    const std::size_t end = at + match.size();
    const auto of_a_word = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
    if (end < text.size() && of_a_word(text[end]) && match.size() < 200) return 0;  // longer than this issuer's tokens
    return passes(rule.check, text.substr(at, end - at)) && has_context(text, at, rule.context) ? end : 0;
  }

  // False when there is too much.
  bool search(std::string_view text, std::vector<Found>& found) const {
    std::vector<std::size_t> skip(rules().size(), 0);
    std::vector<Span> spans;
    bool enough = true;
    literals.each(text, [&](std::uint16_t i, std::size_t at) {
      if (at < skip[i]) return true;
      const Rule& rule = rules()[i];
      if (rule.match) {
        if (rule.token && !starts_word(text, at)) return true;
        spans.clear();
        rule.match(text, at, skip[i], spans);
        for (const Span span : spans) found.push_back({&rule, span});
      } else if (const std::size_t end = token_end(rule, *patterns[i], text, at)) {
        found.push_back({&rule, {at, end}});
        skip[i] = end;
      }
      return enough = found.size() <= max_findings;
    });
    return enough;
  }
};

Guard::Guard() : rules_(std::make_unique<const Rules>()) {}
Guard::~Guard() = default;
Guard::Guard(Guard&&) noexcept = default;
Guard& Guard::operator=(Guard&&) noexcept = default;

Verdict Guard::scan(std::string_view text, std::string_view field) const {
  Verdict verdict;
  const auto add = [&](const Found& one, Span span, std::string_view view) {
    for (const Finding& other : verdict.findings)  // a view that sees again what an earlier one saw
      if (view != "plain" && other.start < span.end && span.start < other.end && other.kind == one.rule->kind) return;
    verdict.findings.push_back(
        {std::string(one.rule->kind), std::string(one.rule->name), std::string(field), span.start, span.end, std::string(view), Action::redact});
  };
  const auto search = [&]() -> bool {
    if (text.size() > max_text) return false;
    std::vector<Found> found;
    if (!rules_->search(text, found)) return false;
    for (const Found& one : found) add(one, one.span, "plain");
    std::vector<Reading> made;
    for (const View& view : views())
      for (std::size_t i = 0, n = made.size(); i <= n; ++i) {  // the text, then what the views before made
        Reading now;
        if (!view.read(i == 0 ? text : std::string_view(made[i - 1].text), now)) continue;
        if (i > 0)
          for (std::uint32_t& at : now.origin) at = made[i - 1].origin[at];
        found.clear();
        if (!rules_->search(now.text, found) || found.size() + verdict.findings.size() > max_findings) return false;
        for (const Found& one : found) add(one, {now.origin[one.span.start], now.origin[one.span.end]}, view.name);
        made.push_back(std::move(now));
      }
    return true;
  };
  if (!search()) verdict.findings = {block(text.size() > max_text ? "too_large" : "too_many_findings", field, text.size())};
  std::ranges::stable_sort(verdict.findings, {}, &Finding::start);
  judge(verdict);
  return verdict;
}

namespace {

// Calls f(path, string) for every string in the value, and where f answers true takes the string that it left.
template <class F>
void each_string(json::value& value, const std::string& path, F&& f) {
  if (json::string* text = value.if_string()) {
    std::string copy(*text);
    if (f(path, copy)) *text = copy;
  } else if (json::array* array = value.if_array()) {
    for (std::size_t i = 0; i < array->size(); ++i) each_string((*array)[i], path + "." + std::to_string(i), f);
  } else if (json::object* object = value.if_object()) {
    for (auto& member : *object) each_string(member.value(), path + "." + std::string(member.key()), f);
  }
}

// The one list of an item's strings: f(path, string&) → whether it changed it.
template <class F>
void each_field(Item& item, F&& f) {
  f("id", item.id);
  f("url", item.url);
  f("title", item.title);
  f("content_html", item.content_html);
  f("content_text", item.content_text);
  f("summary", item.summary);
  f("image", item.image);
  f("language", item.language);
  for (std::size_t i = 0; i < item.authors.size(); ++i) {
    f("authors." + std::to_string(i) + ".name", item.authors[i].name);
    f("authors." + std::to_string(i) + ".url", item.authors[i].url);
    for (auto& member : item.authors[i].extra) each_string(member.value(), "authors." + std::to_string(i) + "." + std::string(member.key()), f);
  }
  for (std::size_t i = 0; i < item.tags.size(); ++i) f("tags." + std::to_string(i), item.tags[i]);
  for (std::size_t i = 0; i < item.attachments.size(); ++i) {
    f("attachments." + std::to_string(i) + ".url", item.attachments[i].url);
    f("attachments." + std::to_string(i) + ".mime_type", item.attachments[i].mime_type);
    for (auto& member : item.attachments[i].extra) each_string(member.value(), "attachments." + std::to_string(i) + "." + std::string(member.key()), f);
  }
  for (auto& member : item.extra) each_string(member.value(), member.key(), f);
}

std::string redact_if(std::string_view text, const Verdict& verdict, std::string_view field, bool (*wanted)(const Finding&)) {
  std::vector<const Finding*> cuts;
  for (const Finding& finding : verdict.findings)
    if (finding.field == field && finding.action >= Action::redact && wanted(finding)) {
      if (finding.action == Action::block) return std::string(withheld);
      cuts.push_back(&finding);
    }
  std::ranges::sort(cuts, {}, &Finding::start);
  std::string out;
  std::size_t from = 0;
  for (std::size_t i = 0; i < cuts.size();) {
    const Finding* widest = cuts[i];
    const std::size_t start = std::min(cuts[i]->start, text.size());
    std::size_t end = cuts[i]->end;
    for (++i; i < cuts.size() && cuts[i]->start < end; ++i) {  // what overlaps goes as one
      end = std::max(end, cuts[i]->end);
      if (cuts[i]->end - cuts[i]->start > widest->end - widest->start) widest = cuts[i];
    }
    out.append(text, from, start - from);
    if (widest->kind != "secret.url.userinfo") out += "[redacted]";  // an address without its user is still an address
    from = std::min(end, text.size());
  }
  return out.append(text, from);
}

bool any(const Finding&) { return true; }
bool of_a_url(const Finding& finding) { return finding.kind.starts_with(in_urls) || finding.action == Action::block; }

// A blocked item: what it is, not what it says.
Item without_text(const Item& item) {
  Item out;
  out.id = std::string("withheld");
  out.title = "withheld by guard: it could not be scanned in full";
  out.date_published = item.date_published;
  out.date_modified = item.date_modified;
  if (const json::object* weir = find_object(item.extra, "_weir")) {  // numbers and booleans: its public id, read, starred
    json::object kept;
    for (const auto& member : *weir)
      if (member.value().is_number() || member.value().is_bool()) kept[member.key()] = member.value();
    out.extra["_weir"] = std::move(kept);
  }
  return out;
}

}  // namespace

Verdict Guard::scan(const Item& item) const {
  Verdict verdict;
  Item copy_for_walking = item;  // each_field hands out references; nothing is changed
  std::size_t size = 0;
  each_field(copy_for_walking, [&](std::string_view path, const std::string& text) {
    size += text.size();
    if (size > max_text || verdict.findings.size() > max_findings) {
      if (verdict.action != Action::block) verdict.findings.push_back(block(size > max_text ? "too_large" : "too_many_findings", path, text.size()));
      verdict.action = Action::block;
      return false;
    }
    Verdict one = scan(text, path);
    verdict.findings.insert(verdict.findings.end(), std::make_move_iterator(one.findings.begin()), std::make_move_iterator(one.findings.end()));
    return false;
  });
  judge(verdict);
  return verdict;
}

std::string redact(std::string_view text, const Verdict& verdict, std::string_view field) { return redact_if(text, verdict, field, any); }

Sealed<std::string> Guard::seal(Exit exit, std::string body) const {
  if (exit == Exit::asset) return {SealKey(), std::move(body)};
  const auto wanted = exit == Exit::reader ? of_a_url : any;
  // What is left after a cut can read as something new; it is looked at again until nothing is found.
  for (int round = 0; round < 4; ++round) {
    const Verdict verdict = exit == Exit::reader ? scan_urls(body) : scan(body);
    if (verdict.action == Action::block) break;
    if (verdict.findings.empty()) return {SealKey(), std::move(body)};
    body = redact_if(body, verdict, {}, wanted);
  }
  return {SealKey(), std::string(withheld)};
}

Sealed<Item> Guard::seal(Exit exit, Item item, const Verdict& kept) const {
  if (exit == Exit::asset) exit = Exit::export_file;  // an item is never ours
  const Verdict verdict = kept.policy == policy_version ? kept : scan(item);
  if (verdict.action == Action::block) return {SealKey(), without_text(item)};
  if (verdict.findings.empty()) return {SealKey(), std::move(item)};
  const auto wanted = exit == Exit::reader ? of_a_url : any;
  each_field(item, [&](std::string_view path, std::string& text) {
    text = redact_if(text, verdict, path, wanted);
    return true;
  });
  return {SealKey(), std::move(item)};
}

// Credentials in URLs alone, in the text as it stands and percent-encoded in another URL.
Verdict Guard::scan_urls(std::string_view text) const {
  Verdict verdict;
  if (text.size() > max_text) verdict.findings.push_back(block("too_large", {}, text.size()));
  const auto search = [&](std::string_view view, std::string_view name, const Reading* reading) {
    std::size_t skip[2] = {};
    std::vector<Span> spans;
    for (std::size_t at = view.find("//"); at != std::string_view::npos && verdict.findings.size() <= max_findings; at = view.find("//", at + 1)) {
      for (const int i : {0, 1}) {
        if (at < skip[i]) continue;
        const Rule& rule = rules()[i];
        spans.clear();
        rule.match(view, at, skip[i], spans);
        for (const Span span : spans)
          verdict.findings.push_back({std::string(rule.kind),
                                      std::string(rule.name),
                                      {},
                                      reading ? reading->origin[span.start] : span.start,
                                      reading ? reading->origin[span.end] : span.end,
                                      std::string(name),
                                      Action::redact});
      }
    }
  };
  if (verdict.findings.empty()) {
    search(text, "plain", nullptr);
    if (Reading reading; text.find("%2F%2") != std::string_view::npos || text.find("%2f%2") != std::string_view::npos)
      if (read_percent(text, reading)) search(reading.text, "percent", &reading);
    if (verdict.findings.size() > max_findings) verdict.findings = {block("too_many_findings", {}, text.size())};
  }
  judge(verdict);
  return verdict;
}

std::string_view to_string(Action action) {
  constexpr std::string_view names[] = {"pass", "redact", "hold", "block"};
  return names[static_cast<std::size_t>(action)];
}

json::array to_json(const Verdict& verdict) {
  json::array out;
  for (const Finding& finding : verdict.findings)
    out.push_back({{"class", finding.kind},
                   {"rule", finding.rule},
                   {"field", finding.field},
                   {"start", finding.start},
                   {"end", finding.end},
                   {"view", finding.view},
                   {"action", to_string(finding.action)}});
  return out;
}

Result<Verdict> verdict_from_json(const json::value& findings, std::uint32_t policy) {
  Verdict verdict;
  const json::array* array = findings.if_array();
  if (!array) return fail(Code::malformed, "findings must be an array");
  for (const json::value& value : *array) {
    const json::object* object = value.if_object();
    if (!object) return fail(Code::malformed, "a finding must be an object");
    const auto text = [&](std::string_view key) { return std::string(find_string(*object, key).value_or("")); };
    Finding finding{text("class"), text("rule"), text("field"), 0, 0, text("view"), Action::block};
    const auto start = find_int(*object, "start"), end = find_int(*object, "end");
    if (!start || !end || *start < 0 || *end < *start) return fail(Code::malformed, "a finding needs start and end", finding.rule);
    finding.start = static_cast<std::size_t>(*start);
    finding.end = static_cast<std::size_t>(*end);
    for (const Action action : {Action::pass, Action::redact, Action::hold, Action::block})
      if (text("action") == to_string(action)) finding.action = action;  // an action nobody knows stays a block
    verdict.findings.push_back(std::move(finding));
  }
  judge(verdict);
  verdict.policy = policy;
  return verdict;
}

}  // namespace weir::guard
