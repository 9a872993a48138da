#include "cli/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "base/file.h"
#include "base/text.h"
#include "base/url.h"
#include "cli/lines.h"
#include "cli/terminal.h"
#include "encode/encoder.h"
#include "engine/encoding.h"
#include "engine/parse_child.h"
#include "engine/threads.h"
#include "guard/guard.h"
#include "math/cpu.h"
#include "rank/rank.h"
#include "types/signal.h"

namespace weir::cli {
namespace {

// The item's own part of `_weir`, made when it is not there.
json::object& weir_of(Item& item) {
  json::value& value = item.extra["_weir"];
  if (!value.is_object()) value = json::object();
  return value.get_object();
}

// What `weir parse` may answer for a file that it has no feed of: interfaces.md's words and no others.
Error as_of_a_file(const Error& error, const std::string& file) {
  Error out{error.code, error.message, error.where.empty() || error.where == file ? file : file + ", " + error.where, error.remedy};
  switch (error.code) {
    case Code::not_a_feed:
    case Code::too_large:
    case Code::too_deep:
    case Code::malformed:
    case Code::encoding:
    case Code::refused:
    case Code::crashed:
    case Code::timeout: break;
    case Code::not_found: out.code = Code::not_a_feed; break;
    case Code::invalid: out.code = Code::not_a_feed, out.remedy = "name the files in it"; break;  // a folder
    case Code::io: out.code = Code::refused; break;
    default: out.code = Code::crashed; break;  // of the parser child
  }
  return out;
}

Result<std::unique_ptr<Sandbox>> sandbox() { return Sandbox::start(parser_sandbox()); }

// Texts to encode: the title, then content_text or the text of content_html (hostile: read in the child), or one field as it is.
Result<std::vector<std::string>> texts_of(const std::vector<Item>& items, const std::string& field, std::unique_ptr<Sandbox>& child) {
  std::vector<std::string> out(items.size());
  std::vector<std::string> html;
  std::vector<std::size_t> of;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    if (!field.empty()) {
      const json::object whole = to_json(item);
      out[i] = std::string(find_string(whole, field).value_or(""));
    } else if (item.content_text.empty() && !item.content_html.empty()) {
      html.push_back(item.content_html);
      of.push_back(i);
    } else {
      out[i] = plain_text(item);
    }
  }
  if (html.empty()) return out;
  if (!child) child = TRY(sandbox());
  const std::vector<std::string> texts = TRY(texts_in(*child, html));
  for (std::size_t i = 0; i < of.size(); ++i) {
    const Item item{.title = items[of[i]].title, .content_text = texts[i]};
    out[of[i]] = plain_text(item);
  }
  return out;
}

Result<Encoder> load(const std::string& model, const std::string& precision) {
  Encoder::Options options;
  if (!precision.empty()) {
    options.precision = parse_precision(precision);
    if (!options.precision) return fail(Code::invalid, "no such precision: " + precision, "--precision", "f32, bf16, int8 or int8-portable");
  }
  auto loaded = Encoder::load(model, options);
  if (!loaded && loaded.error().remedy.empty()) loaded.error().remedy = "give the model's files as they were published; weir model list";
  return loaded;
}

std::vector<std::string_view> views(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

}  // namespace

int parse(const ParseArguments& arguments, bool as_json) {
  if (const auto base = parse_url(arguments.base); !arguments.base.empty() && (!base || base->host.empty()))
    return print_error({Code::invalid, "an address such as https://host/path is expected", "--base", ""}, as_json);
  auto child = sandbox();
  if (!child) return print_error(child.error(), as_json);
  end_gently();
  int status = done;
  for (const std::string& file : arguments.files) {
    if (interrupted()) return failed;
    const std::string name = repair_utf8(file);
    Result<Feed> feed = fail(Code::internal, "");
    if (auto bytes = read_file(file, std::size_t{64} << 20))
      feed = parse_feed_in(**child, *bytes, {.base_url = arguments.base, .content_type = {}, .raw = arguments.raw});
    else feed = std::unexpected(bytes.error());
    if (feed) {
      print_json(to_json(*feed, name));
      continue;
    }
    status = failed;
    const Error error = as_of_a_file(feed.error(), file);
    json::object inner{{"code", to_string(error.code)}, {"message", error.message}};
    if (const std::string& where = feed.error().where; !where.empty() && where != file) inner["where"] = where;
    print_json(json::object{{"_weir", {{"file", name}, {"error", std::move(inner)}}}});
    print_error(error, as_json);
  }
  return status;
}

int encode(const EncodeArguments& arguments, bool as_json) {
  std::unique_ptr<Sandbox> child;
  if (auto started = sandbox()) child = std::move(*started);  // before the model is in memory
  else return print_error(started.error(), as_json);
  const auto encoder = load(arguments.model, arguments.precision);
  if (!encoder) return print_error(encoder.error(), as_json);
  end_gently();
  LineReader lines(arguments.files, as_json);
  ThreadPool pool(thread_count());
  std::vector<Item> items;
  std::vector<std::string> places;
  const auto flush = [&] {
    auto texts = texts_of(items, arguments.field, child);
    if (!texts) {  // one item that kills the parser must not take the others with it
      texts = std::vector<std::string>();
      for (std::size_t i = 0; i < items.size(); ++i) {
        auto one = texts_of({items[i]}, arguments.field, child);
        if (!one) lines.report(places[i], one.error().text());
        texts->push_back(one ? std::move(one->front()) : std::string());
      }
    }
    const Matrix vectors = encoder->encode(views(*texts), pool.executor());
    for (std::size_t i = 0; i < items.size(); ++i) {
      json::object& weir = weir_of(items[i]);
      if (Encoder::has_vector(vectors.row(i))) {
        json::array numbers;
        numbers.reserve(vectors.columns);
        for (const float x : vectors.row(i)) numbers.push_back(static_cast<double>(x));
        weir["vector"] = std::move(numbers);
      }
      weir["model"] = encoder->name();
      if (arguments.tokens) {
        const auto ids = encoder->tokenize((*texts)[i]);
        weir["tokens"] = json::array(ids.begin(), ids.end());
      }
      print_json(to_json(items[i]));
    }
    items.clear();
    places.clear();
  };
  while (auto line = next_item(lines)) {
    items.push_back(std::move(line->item));
    places.push_back(std::move(line->place));
    if (items.size() == 64 || !lines.ready()) flush();
  }
  if (!items.empty()) flush();
  return lines.trouble() ? failed : done;
}

namespace {

// Vectors by item id, for candidates and history alike: those that items carry, the others encoded here.
class Vectors {
 public:
  Status add(const std::vector<Item>& items, const std::optional<Encoder>& encoder, std::unique_ptr<Sandbox>& child) {
    std::vector<Item> missing;
    for (const Item& item : items) {
      if (rows_.contains(item.id)) continue;
      std::vector<float> row = carried(item);
      if (!row.empty()) keep(item, std::move(row));
      else if (encoder) missing.push_back(item);
    }
    if (missing.empty()) return {};
    ThreadPool pool(thread_count());
    const std::vector<std::string> texts = TRY(texts_of(missing, {}, child));
    const Matrix encoded = encoder->encode(views(texts), pool.executor());
    for (std::size_t i = 0; i < missing.size(); ++i)
      if (Encoder::has_vector(encoded.row(i))) keep(missing[i], {encoded.row(i).begin(), encoded.row(i).end()});
    return {};
  }

  rank::Embedding of(const Item& item) {
    const auto found = rows_.find(item.id);
    if (found == rows_.end()) return {};
    return {found->second, mean(script_of(item.title))};
  }

 private:
  static std::vector<float> carried(const Item& item) {
    const json::object* weir = find_object(item.extra, "_weir");
    const json::array* numbers = weir ? find_array(*weir, "vector") : nullptr;
    std::vector<float> out;
    if (numbers)
      for (const json::value& x : *numbers)
        if (x.is_number()) out.push_back(static_cast<float>(x.to_number<double>()));
    return numbers && out.size() == numbers->size() ? out : std::vector<float>();
  }

  void keep(const Item& item, std::vector<float> row) {
    auto& [sum, count] = sums_[script_of(item.title)];
    sum.resize(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) sum[i] += row[i];
    ++count;
    rows_[item.id] = std::move(row);
  }

  const std::vector<float>& mean(Script script) {
    auto& out = means_[script];
    const auto& [sum, count] = sums_[script];
    if (out.empty())
      for (const double x : sum) out.push_back(static_cast<float>(x / static_cast<double>(count)));
    return out;
  }

  std::unordered_map<std::string, std::vector<float>> rows_;
  std::map<Script, std::pair<std::vector<double>, std::size_t>> sums_;
  std::map<Script, std::vector<float>> means_;
};

struct GivenSignal {
  Item item;
  Signal signal;
};

// A signal line: {"item": ITEM or id, "kind", "at", "dwell_s"?}.
Result<GivenSignal> signal_from_json(const json::value& value, const std::unordered_map<std::string, const Item*>& known) {
  const json::object* object = value.if_object();
  if (!object) return fail(Code::malformed, "a signal must be a JSON object");
  GivenSignal out;
  const json::value* item = find(*object, "item");
  if (!item) return fail(Code::malformed, "is missing", "item");
  if (item->is_object()) {
    out.item = TRY(item_from_json(*item));
  } else {
    const std::string id = item->is_string() ? std::string(item->get_string()) : json::serialize(*item);
    const auto found = known.find(id);
    if (found == known.end()) return fail(Code::not_found, "names an item that is not among the input: " + id, "item", "give the whole item there");
    out.item = *found->second;
  }
  const auto kind = signal_kind(find_string(*object, "kind").value_or(""));
  if (!kind) return fail(Code::malformed, "must be like, dislike, open, finish, dismiss, star or hide", "kind");
  out.signal.kind = *kind;
  if (const auto at = find_string(*object, "at")) {
    const auto time = parse_rfc3339(*at);
    if (!time) return fail(Code::malformed, "must be an RFC 3339 date", "at");
    out.signal.at = *time;
  }
  out.signal.dwell_seconds = find_number(*object, "dwell_s");
  return out;
}

SourceId source_of(const Item& item, std::map<std::string, std::int64_t>& names) {
  const json::object* weir = find_object(item.extra, "_weir");
  std::string name;
  if (weir)
    if (const json::value* source = find(*weir, "source")) name = json::serialize(*source);
  if (name.empty()) {  // without one the host stands for it
    const std::size_t begin = item.url.find("://");
    if (begin == std::string::npos) return {};
    name = item.url.substr(begin + 3, item.url.find('/', begin + 3) - begin - 3);
  }
  return SourceId{names.try_emplace(name, static_cast<std::int64_t>(names.size()) + 1).first->second};
}

json::array to_json(const std::vector<Part>& parts) {
  json::array out;
  for (const Part& part : parts) {
    json::object one{{"part", part.name}, {"value", part.value}};
    if (!part.from.empty()) {
      json::array from;
      for (const Cause& cause : part.from) from.push_back({{"item", cause.item}, {"title", cause.title}, {"value", cause.value}});
      one["from"] = std::move(from);
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

int rank(const RankArguments& arguments, bool as_json) {
  if (const auto row = math::choose_row(); !row) return print_error(row.error(), as_json);
  auto started = sandbox();
  if (!started) return print_error(started.error(), as_json);
  std::unique_ptr<Sandbox> child = std::move(*started);
  end_gently();
  std::vector<Item> items;
  LineReader lines(arguments.files, as_json);
  while (auto line = next_item(lines)) items.push_back(std::move(line->item));
  if (interrupted()) return failed;  // a ranking of some is none
  std::unordered_map<std::string, const Item*> known;
  for (const Item& item : items) known[item.id] = &item;

  std::vector<GivenSignal> signals;
  if (!arguments.signals.empty()) {
    LineReader given({arguments.signals}, as_json);
    while (auto line = given.next()) {
      auto value = parse_json(line->text);
      auto signal = value ? signal_from_json(*value, known) : Result<GivenSignal>(std::unexpected(value.error()));
      if (signal) signals.push_back(std::move(*signal));
      else lines.report(line->place, signal.error().text());
    }
    if (given.trouble()) return failed;
  }
  std::stable_sort(signals.begin(), signals.end(), [](const GivenSignal& a, const GivenSignal& b) { return a.signal.at < b.signal.at; });

  const bool taste = static_cast<int>(signals.size()) >= rank::enough;
  std::optional<Encoder> encoder;
  if (arguments.with_model && taste) {
    auto loaded = load(arguments.model, {});
    if (!loaded) return print_error(loaded.error(), as_json);
    encoder = std::move(*loaded);
  }
  Vectors vectors;
  std::vector<Item> past_items;
  for (const GivenSignal& one : signals) past_items.push_back(one.item);
  for (const auto* some : {&past_items, &items})
    if (const Status added = vectors.add(*some, encoder, child); !added) return print_error(added.error(), as_json);

  std::map<std::string, std::int64_t> sources;
  std::vector<rank::Past> history;
  for (std::size_t i = 0; i < signals.size(); ++i)
    history.push_back({.item = signals[i].item.id,
                       .title = signals[i].item.title,
                       .source = source_of(signals[i].item, sources),
                       .strength = strength(signals[i].signal),
                       .order = static_cast<std::int64_t>(i) + 1,
                       .embedding = vectors.of(signals[i].item)});
  const Time now = arguments.now.value_or(SystemClock().now());
  std::vector<rank::Candidate> candidates;
  for (std::size_t i = 0; i < items.size(); ++i)
    candidates.push_back({.id = ItemId{static_cast<std::int64_t>(i) + 1},
                          .source = source_of(items[i], sources),
                          .at = std::min(items[i].date_published.value_or(now), now),
                          .embedding = vectors.of(items[i])});
  rank::Options options;
  if (encoder) options.dimensions = encoder->dim();
  const rank::Model model = rank::Model::fit(history, options);
  for (const rank::Ranked& ranked : rank::order(model, candidates, now, arguments.limit)) {
    if (interrupted()) return failed;
    Item& item = items[ranked.index];
    json::object& weir = weir_of(item);
    const Score score = model.explain(candidates[ranked.index], now, history);
    if (std::isfinite(score.value)) {
      if (!rank::holds(score)) return print_error({Code::internal, "the parts of the score do not sum to it", item.id, ""}, as_json);
      weir["score"] = score.value;
      if (arguments.why) weir["why"] = to_json(score.parts);
      if (!score.enough) weir["enough"] = false;
    }
    print_json(weir::to_json(item));
  }
  return lines.trouble() ? failed : done;
}

int guard_scan(const GuardArguments& arguments, bool as_json) {
  const guard::Guard guard;
  end_gently();
  LineReader lines(arguments.files, as_json);
  while (auto line = lines.next()) {
    // An item, any other JSON object, or plain text: each gets its findings.
    auto value = parse_json(line->text);
    json::object out;
    Verdict verdict;
    if (value && value->is_object()) {
      out = value->get_object();
      if (auto item = item_from_json(*value)) verdict = guard.scan(*item);
      else verdict = guard.scan(line->text);
    } else {
      out["text"] = is_valid_utf8(line->text) ? line->text : repair_utf8(line->text);
      verdict = guard.scan(std::string_view(out["text"].get_string()), "text");
    }
    json::value& weir = out["_weir"];
    if (!weir.is_object()) weir = json::object();
    weir.get_object()["findings"] = guard::to_json(verdict);
    print_json(out);
  }
  return lines.trouble() ? failed : done;
}

}  // namespace weir::cli
