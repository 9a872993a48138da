#include "engine/encoding.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/log.h"
#include "base/text.h"
#include "engine/threads.h"

namespace weir {
namespace {

constexpr std::size_t batch_items = 32;
constexpr auto lease_time = std::chrono::minutes(10);

std::string mean_key(const ModelId& model, std::size_t script) { return "mean/" + model + "/" + std::to_string(script); }

}  // namespace

std::string pack_vector(std::span<const float> vector) {
  float largest = 0;
  for (const float x : vector) largest = std::max(largest, std::abs(x));
  const float scale = largest > 0 ? largest / 127.0f : 1.0f;
  std::string out(sizeof scale + vector.size(), '\0');
  std::memcpy(out.data(), &scale, sizeof scale);
  for (std::size_t i = 0; i < vector.size(); ++i) out[sizeof scale + i] = static_cast<char>(static_cast<std::int8_t>(std::lround(vector[i] / scale)));
  return out;
}

std::vector<float> unpack_vector(std::string_view bytes) {
  float scale = 0;
  if (bytes.size() <= sizeof scale) return {};
  std::memcpy(&scale, bytes.data(), sizeof scale);
  if (!std::isfinite(scale)) return {};
  std::vector<float> out(bytes.size() - sizeof scale);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = scale * static_cast<float>(static_cast<std::int8_t>(bytes[sizeof scale + i]));
  return out;
}

Script script_of(std::string_view title) {
  std::size_t cjk = 0, all = 0;
  for (std::size_t at = 0; at < title.size();) {
    const char32_t c = next_code_point(title, at);
    if (c > ' ') ++all;
    if (is_cjk(c)) ++cjk;
  }
  return cjk * 4 > all ? Script::cjk : Script::other;
}

Encoding::Encoding(store::Store& store, const Clock& clock, std::string model_name, std::size_t threads, std::function<void(const Progress&)> progress)
    : store_(store), clock_(clock), name_(std::move(model_name)), threads_(threads), tell_(std::move(progress)) {
  // What the last run encoded with: ranking needs its id and means, not the model itself.
  const auto kept = store_.reader()->value("model");
  if (kept && *kept && (*kept)->starts_with(name_ + " ")) {
    model_id_ = (*kept)->substr(name_.size() + 1);
    restore_means();
  }
}

Encoding::~Encoding() = default;

void Encoding::wake() {
  const std::scoped_lock lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

Encoding::Progress Encoding::progress() const {
  const std::scoped_lock lock(mutex_);
  return progress_;
}

ModelId Encoding::model_id() const {
  const std::scoped_lock lock(mutex_);
  return model_id_;
}

std::vector<float> Encoding::mean(Script script) const {
  const std::scoped_lock lock(mutex_);
  const Mean& mean = means_[static_cast<std::size_t>(script)];
  std::vector<float> out(mean.sum.size());
  if (mean.count == 0) return {};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(mean.sum[i] / static_cast<double>(mean.count));
  return out;
}

std::uint64_t Encoding::mean_count() const {
  const std::scoped_lock lock(mutex_);
  return means_[0].count + means_[1].count;
}

void Encoding::restore_means() {
  auto reader = store_.reader();
  for (std::size_t script = 0; script < means_.size(); ++script) {
    const auto bytes = reader->value(mean_key(model_id_, script));
    if (!bytes || !*bytes || (*bytes)->size() < sizeof(std::uint64_t)) continue;
    Mean mean;
    std::memcpy(&mean.count, (*bytes)->data(), sizeof mean.count);
    mean.sum.resize(((*bytes)->size() - sizeof mean.count) / sizeof(double));
    std::memcpy(mean.sum.data(), (*bytes)->data() + sizeof mean.count, mean.sum.size() * sizeof(double));
    const bool sane = std::all_of(mean.sum.begin(), mean.sum.end(), [](double x) { return std::isfinite(x); });
    if (sane) means_[script] = std::move(mean);
  }
}

Status Encoding::keep_means(store::Writer& writer, const std::array<Mean, 2>& means) const {
  for (std::size_t script = 0; script < means.size(); ++script) {
    const Mean& mean = means[script];
    if (mean.count == 0) continue;
    std::string bytes(sizeof mean.count + mean.sum.size() * sizeof(double), '\0');
    std::memcpy(bytes.data(), &mean.count, sizeof mean.count);
    std::memcpy(bytes.data() + sizeof mean.count, mean.sum.data(), mean.sum.size() * sizeof(double));
    TRY(writer.set_value(mean_key(model_id_, script), bytes));
  }
  return {};
}

Status Encoding::load() {
  auto loaded = Encoder::load(name_);
  if (!loaded) return std::unexpected(loaded.error());
  encoder_ = std::make_unique<Encoder>(std::move(*loaded));
  {
    const std::scoped_lock lock(mutex_);
    if (model_id_ != encoder_->model_id()) {
      model_id_ = encoder_->model_id();
      for (Mean& mean : means_) mean = {};
      restore_means();
    }
    progress_.loaded = true;
    progress_.error.clear();
  }
  // Another model than last time: what it has not encoded yet is queued again, the newest first.
  const std::string now = name_ + " " + encoder_->model_id();
  if (TRY(store_.reader()->value("model")).value_or("") != now) {
    std::optional<ItemId> from;
    do {
      from = TRY(store_.write([&](store::Writer& writer) { return writer.queue_missing_vectors(model_id_, from, 1'000); }));
    } while (from);
    TRY(store_.write([&](store::Writer& writer) { return writer.set_value("model", now); }));
  }
  log_info("encode", "model {} is loaded ({})", name_, model_id_);
  return {};
}

Result<std::size_t> Encoding::batch() {
  const Time now = clock_.now();
  const std::vector<store::Work> work =
      TRY(store_.write([&](store::Writer& writer) { return writer.lease(store::Stage::encode, batch_items, now, lease_time); }));
  if (work.empty()) return std::size_t{0};
  std::vector<ItemId> ids;
  for (const store::Work& one : work) ids.push_back(one.item);
  const std::vector<StoredItem> items = TRY(store_.reader()->work_items(ids));  // what has gone meanwhile is simply done
  std::vector<std::string> texts;
  for (const StoredItem& item : items) texts.push_back(plain_text(item.item));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  static ThreadPool pool(threads_, 10);
  const Matrix vectors = encoder_->encode(views, pool.executor());

  std::vector<std::pair<ItemId, std::string>> rows;
  std::array<Mean, 2> means = means_;  // only this thread changes them
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!Encoder::has_vector(vectors.row(i))) continue;
    rows.emplace_back(items[i].id, pack_vector(vectors.row(i)));
    Mean& mean = means[static_cast<std::size_t>(script_of(items[i].item.title))];
    mean.sum.resize(vectors.columns);
    for (std::size_t j = 0; j < vectors.columns; ++j) mean.sum[j] += vectors.row(i)[j];
    ++mean.count;
  }
  TRY(store_.write([&](store::Writer& writer) -> Status {
    TRY(writer.put_vectors(model_id_, rows));
    TRY(writer.complete(store::Stage::encode, work));
    return keep_means(writer, means);
  }));
  // After the commit: whoever sees the new count finds the vectors that it counts.
  const std::scoped_lock lock(mutex_);
  means_ = std::move(means);
  return work.size();
}

void Encoding::run(std::stop_token stop) {
  stand_back(10);
  auto told = clock_.steady();
  const auto tell = [&] {
    if (const auto counts = store_.reader()->work(store::Stage::encode)) {
      const std::scoped_lock lock(mutex_);
      progress_.queued = counts->queued;
    }
    tell_(progress());
    told = clock_.steady();
  };
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, std::chrono::seconds(60), [&] { return woken_; });
      woken_ = false;
    }
    if (stop.stop_requested()) return;
    if (!encoder_) {
      const auto counts = store_.reader()->work(store::Stage::encode);
      if (!counts || (counts->queued == 0 && !model_id().empty())) continue;  // nothing to do: the model stays on disk
      if (const Status loaded = load(); !loaded) {
        const std::scoped_lock lock(mutex_);
        if (progress_.error != loaded.error().text()) log_warn("encode", "no model: {}", loaded.error().text());
        progress_.error = loaded.error().text();
        continue;
      }
    }
    while (!stop.stop_requested()) {
      const auto began = clock_.steady();
      const Result<std::size_t> done = batch();
      if (!done) {
        log_error("encode", "a batch failed: {}", to_string(done.error().code));
        break;
      }
      if (*done == 0) break;
      {
        const std::scoped_lock lock(mutex_);
        progress_.encoded += static_cast<std::int64_t>(*done);
        progress_.cache = encoder_->cache_stats();
        const double seconds = std::chrono::duration<double>(clock_.steady() - began).count();
        progress_.items_per_second = 0.9 * progress_.items_per_second + 0.1 * static_cast<double>(*done) / std::max(seconds, 1e-6);
      }
      if (clock_.steady() - told > std::chrono::seconds(2)) tell();
    }
    tell();
  }
}

}  // namespace weir
