#include "engine/tastes.h"

#include <algorithm>
#include <cmath>

namespace weir {
namespace {

constexpr std::size_t most_signals = 2'000;     // the newest of a reader: older ones weigh next to nothing
constexpr std::size_t most_candidates = 1'000;  // the newest items that "for you" chooses from
constexpr std::size_t readers_kept = 64;

Time published(const StoredItem& item) { return std::min(item.item.date_published.value_or(item.at), item.at); }

}  // namespace

Tastes::Tastes(store::Store& store, const Encoding* encoding) : store_(store), encoding_(encoding) {}

void Tastes::changed(UserId user) {
  const std::scoped_lock lock(mutex_);
  kept_.remove_if([&](const auto& one) { return one.first == user; });
}

Result<std::shared_ptr<const Tastes::Reader>> Tastes::build(UserId user) {
  auto out = std::make_shared<Reader>();
  auto reader = store_.reader();
  std::vector<store::SignalRow> rows = TRY(reader->signals(user, most_signals));
  out->signals = TRY(reader->signal_count(user));
  std::vector<ItemId> ids;
  for (const store::SignalRow& row : rows) ids.push_back(row.signal.item);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const std::vector<StoredItem> items = TRY(reader->items_by_id(user, ids, false));
  std::unordered_map<ItemId, const StoredItem*> by_id;
  for (const StoredItem& item : items) by_id[item.id] = &item;

  std::unordered_map<ItemId, std::size_t> vector_of;
  if (encoding_ && !encoding_->model_id().empty()) {
    out->model_id = encoding_->model_id();
    out->mean_count = encoding_->mean_count();
    for (const Script script : {Script::other, Script::cjk}) out->means[static_cast<int>(script)] = encoding_->mean(script);
    const auto packed = TRY(reader->vectors(out->model_id, ids));
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (packed[i]) {
        vector_of[ids[i]] = out->vectors.size();
        out->vectors.push_back(unpack_vector(*packed[i]));
      }
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const store::SignalRow& row = rows[i];
    const auto found = by_id.find(row.signal.item);
    if (found == by_id.end()) continue;  // the item has gone
    const StoredItem& item = *found->second;
    rank::Past past{.item = std::to_string(item.id.value),
                    .title = item.item.title,
                    .source = item.source,
                    .strength = strength(row.signal),
                    .order = static_cast<std::int64_t>(rows.size() - i),
                    .embedding = {}};  // their place among this reader's own
    if (const auto at = vector_of.find(item.id); at != vector_of.end())
      past.embedding = {out->vectors[at->second], out->means[static_cast<int>(script_of(item.item.title))]};
    else ++out->without_vector;
    out->history.push_back(std::move(past));
  }
  out->model = rank::Model::fit(out->history);
  return out;
}

Result<std::shared_ptr<const Tastes::Reader>> Tastes::reader(UserId user) {
  {
    const std::scoped_lock lock(mutex_);
    for (auto one = kept_.begin(); one != kept_.end(); ++one) {
      if (one->first != user) continue;
      // The stream's means move while it is young, and vectors arrive after the signals: what was learnt over others is learnt again.
      const Reader& known = *one->second;
      const std::uint64_t seen = encoding_ ? encoding_->mean_count() : 0;
      const bool stale = encoding_ && (known.model_id != encoding_->model_id() || seen > known.mean_count + known.mean_count / 4 + 64 ||
                                       (known.without_vector > 0 && seen != known.mean_count));
      if (stale) {
        kept_.erase(one);
        break;
      }
      kept_.splice(kept_.begin(), kept_, one);
      return kept_.front().second;
    }
  }
  std::shared_ptr<const Reader> built = TRY(build(user));
  const std::scoped_lock lock(mutex_);
  kept_.remove_if([&](const auto& one) { return one.first == user; });
  kept_.emplace_front(user, built);
  if (kept_.size() > readers_kept) kept_.pop_back();
  return built;
}

Result<std::vector<Tastes::Scored>> Tastes::rank(UserId user, ItemQuery query, Time now) {
  const std::shared_ptr<const Reader> known = TRY(reader(user));
  query.order = Order::newest;
  query.limit = most_candidates;
  query.cursor.clear();
  query.bodies = false;
  const Page page = TRY(store_.reader()->items(user, query));
  std::vector<ItemId> ids;
  for (const StoredItem& item : page.items) ids.push_back(item.id);
  std::vector<std::vector<float>> vectors(ids.size());
  if (!known->model_id.empty()) {
    const auto packed = TRY(store_.reader()->vectors(known->model_id, ids));
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (packed[i]) vectors[i] = unpack_vector(*packed[i]);
  }
  std::vector<rank::Candidate> candidates;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const StoredItem& item = page.items[i];
    rank::Candidate candidate{.id = item.id, .source = item.source, .at = published(item), .embedding = {}};
    if (!vectors[i].empty()) candidate.embedding = {vectors[i], known->means[static_cast<int>(script_of(item.item.title))]};
    candidates.push_back(candidate);
  }
  std::vector<Scored> out;
  for (const rank::Ranked& one : rank::order(known->model, candidates, now)) out.push_back({ids[one.index], one.value});
  return out;
}

Result<Score> Tastes::explain(UserId user, const StoredItem& item, Time now) {
  const std::shared_ptr<const Reader> known = TRY(reader(user));
  std::vector<float> vector;
  if (!known->model_id.empty()) {
    const ItemId id = item.id;
    const auto packed = TRY(store_.reader()->vectors(known->model_id, std::span(&id, 1)));
    if (packed[0]) vector = unpack_vector(*packed[0]);
  }
  rank::Candidate candidate{.id = item.id, .source = item.source, .at = published(item), .embedding = {}};
  if (!vector.empty()) candidate.embedding = {vector, known->means[static_cast<int>(script_of(item.item.title))]};
  Score score = known->model.explain(candidate, now, known->history);
  if (!rank::holds(score)) return fail(Code::internal, "the parts of the score do not sum to it");
  return score;
}

Result<int> Tastes::signals(UserId user) { return TRY(reader(user))->model.signals(); }

}  // namespace weir
