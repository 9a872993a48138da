#include "encode/encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <unordered_map>

#include "base/hash.h"
#include "base/log.h"
#include "encode/models.h"
#include "encode/transformer.h"
#include "encode/vector_cache.h"
#include "encode/workspace.h"
#include "math/cpu.h"
#include "math/kernels.h"

namespace weir {
namespace {

Precision default_precision(math::Row row) {
  switch (row) {
    case math::Row::amx: return Precision::bf16;
    case math::Row::scalar: return Precision::f32;
    default: return Precision::int8;
  }
}

math::Format format_of(Precision precision) {
  return precision == Precision::f32 ? math::Format::f32 : precision == Precision::bf16 ? math::Format::bf16 : math::Format::int8;
}

// What int8 is calibrated with at load: the kinds of text that streams carry, in both languages.
constexpr std::string_view samples[] = {
    "Parliament passed the budget on Tuesday after a night of talks; the opposition called the cuts to public transport unfair.",
    "A new study of 12,400 patients finds that walking 30 minutes a day lowers the risk of heart disease by 18%.",
    "Release 4.2.0: fixes a memory leak in the HTTP/2 client (#1873), adds `--dry-run`, drops Python 3.8",
    "Shares of the chip maker fell 7.3% in early trading to $112.40, its worst day since March.",
    "How do I keep basil alive through winter? Mine always dies by December :(",
    "Late goal sends the visitors through to the final, 2-1, in front of 61,000 people",
    "\"We did not expect to see water there,\" said the mission's lead scientist, Dr. Amara Okafor.",
    "<div class=\"share\">Share this &raquo; <a href=\"https://example.org/?id=77&amp;ref=rss\">link</a></div>",
    "国务院今日发布通知，要求各地做好冬季供暖和能源保供工作。",
    "研究人员提出一种新的语言模型训练方法，在多个基准测试中取得了更好的成绩。",
    "这家餐厅的面条很好吃，就是周末要排队半个小时。",
    "Weather: heavy rain, winds up to 90 km/h along the coast; schools closed in three districts.",
};

// The sha256 that the pinned table has, when the file is one of ours by size; else the file's own.
Result<std::string> weights_hash(const ModelSource& source, const KnownModel* known) {
  if (known != nullptr) return std::string(known->files[0].sha256);
  const auto bytes = source.file.bytes();
  return to_hex(sha256({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
}

}  // namespace

std::string_view to_string(Precision precision) {
  switch (precision) {
    case Precision::f32: return "f32";
    case Precision::bf16: return "bf16";
    case Precision::int8: return "int8";
    case Precision::int8_portable: return "int8-portable";
  }
  return "f32";
}

std::optional<Precision> parse_precision(std::string_view name) {
  for (const Precision p : {Precision::f32, Precision::bf16, Precision::int8, Precision::int8_portable})
    if (to_string(p) == name) return p;
  return std::nullopt;
}

struct Encoder::Model {
  Model(ModelSource s, std::size_t cached) : source(std::move(s)), caching(cached > 0), cache(cached) {}

  std::string name;
  ModelId id;
  Precision precision = Precision::f32;
  ModelSource source;
  Transformer transformer;
  std::vector<TokenId> empty;  // the tokens of a text without one
  bool caching;
  mutable VectorCache cache;
  mutable std::atomic<bool> warned = false;
  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<Workspace>> idle;  // scratch of calls that are over

  std::vector<TokenId> tokenize(std::string_view text) const {
    return std::visit([&](const auto& t) { return t.encode(text, source.max_tokens); }, source.tokenizer);
  }

  std::unique_ptr<Workspace> borrow(bool is_long, std::size_t workers) const {
    {
      const std::scoped_lock lock(mutex);
      for (auto& w : idle) {
        if (w->workers.size() < workers || w->is_long != is_long) continue;
        std::unique_ptr<Workspace> out = std::move(w);
        w = std::move(idle.back());
        idle.pop_back();
        return out;
      }
      if (!idle.empty()) idle.pop_back();  // instead of it: a thread has one
    }
    return is_long ? transformer.make_workspace(source.max_tokens, source.max_tokens, workers)
                   : transformer.make_workspace(transformer.batch_tokens(), Transformer::window, workers);
  }
  void give_back(std::unique_ptr<Workspace> w) const {
    const std::scoped_lock lock(mutex);
    if (idle.size() < 64) idle.push_back(std::move(w));
  }

  // Mean or first state, then unit length. What is not finite has no vector.
  void pool(math::View<const float> states, std::span<float> out) const {
    std::ranges::fill(out, 0.0F);
    const std::size_t n = source.pooling == Pooling::first ? 1 : states.rows;
    for (std::size_t t = 0; t < n; ++t)
      for (std::size_t i = 0; i < out.size(); ++i) out[i] += states(t, i);
    float others = 0;  // NaN when a state that is not taken is not finite: it may have reached the one that is
    for (std::size_t t = n; t < states.rows; ++t)
      for (const float v : states.row(t)) others += v * 0.0F;
    double squares = others;
    for (const float v : out) squares += static_cast<double>(v) * v;
    const auto scale = static_cast<float>(1.0 / std::sqrt(squares));
    const bool finite = std::isfinite(scale) && std::isfinite(squares);
    for (float& v : out) v = finite ? v * scale : 0.0F;
    if (!finite) warn();
  }
  void warn() const {
    if (!warned.exchange(true)) log_warn("encode", "model {}: a text came out as no finite vector, so it has none (told once)", name);
  }
};

Encoder::Encoder(std::unique_ptr<const Model> model) : model_(std::move(model)) {}
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;
Encoder::~Encoder() = default;

Result<Encoder> Encoder::load(const std::filesystem::path& model, const Options& options) {
  const math::Row row = TRY(math::choose_row());
  std::error_code error;
  const bool is_folder = model.has_parent_path() || (!known_model(model.string()) && std::filesystem::is_directory(model, error));
  const std::filesystem::path folder = is_folder ? model : TRY(find_model(model.string()));
  if (!std::filesystem::is_directory(folder, error)) return fail(Code::not_found, "there is no such folder", folder.string());
  const KnownModel* known = known_model(folder.filename().string());
  if (known != nullptr) TRY(check_model(*known, folder, Check::hashes));
  auto m = std::make_unique<Model>(TRY(open_model(folder)), options.cache);
  m->precision = options.precision.value_or(default_precision(row));
  m->name = folder.filename().string();
  m->id = fmt::format("{:.16}-{}", TRY(weights_hash(m->source, known)), to_string(m->precision));
  const std::size_t pieces = std::visit([](const auto& t) { return t.size(); }, m->source.tokenizer);
  if (pieces > m->source.shape.vocabulary)
    return fail(Code::corrupt,
                fmt::format("the tokenizer: expected at most {} pieces, as many as the model's embeddings, found {}", m->source.shape.vocabulary, pieces),
                folder.string());
  std::vector<std::vector<TokenId>> tokens;
  for (const std::string_view sample : samples) tokens.push_back(m->tokenize(sample));
  m->transformer = TRY(Transformer::build(
      m->source, {.format = format_of(m->precision), .portable = m->precision == Precision::int8_portable, .kernels = math::kernels(row), .samples = tokens}));
  m->empty = m->tokenize("");
  m->source.tensors.clear();  // the matrices are packed and the words' rows have a file of their own: the mapping can go
  m->source.file = MappedFile();
  return Encoder(std::move(m));
}

std::vector<std::uint32_t> Encoder::tokenize(std::string_view text) const { return model_->tokenize(text); }

bool Encoder::has_vector(std::span<const float> row) {
  return std::ranges::any_of(row, [](float v) { return v != 0.0F; });
}

Matrix Encoder::encode(std::span<const std::string_view> texts, const Executor& executor) const {
  const Model& m = *model_;
  const bool caching = m.caching;
  Matrix out(texts.size(), dim());
  std::vector<std::vector<TokenId>> tokens(texts.size());
  executor.each(texts.size(), [&](std::size_t i, std::size_t) { tokens[i] = m.tokenize(texts[i]); });

  // What the cache has, and copies within this batch, are not run.
  std::vector<std::uint64_t> hashes(texts.size());
  std::unordered_map<std::uint64_t, std::size_t> first;  // hash → the text that is run
  std::vector<std::pair<std::size_t, std::size_t>> copies;
  std::vector<bool> run(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (tokens[i] == m.empty) continue;
    if (run[i] = !caching; run[i]) continue;
    hashes[i] = VectorCache::hash(tokens[i]);
    if (const auto at = first.find(hashes[i]); at != first.end() && tokens[at->second] == tokens[i]) {
      copies.emplace_back(i, at->second);
      continue;
    }
    run[i] = !m.cache.find(hashes[i], tokens[i], out.row(i));
    if (run[i]) first.emplace(hashes[i], i);
  }

  // Micro-batches of whole texts: as many tokens as have scratch, and smaller ones towards the end, so that threads end together (guided self-scheduling,
  // Polychronopoulos & Kuck 1987). A text beyond a window is a batch of its own.
  struct Piece {
    std::vector<TokenId> ids;
    std::vector<std::size_t> offsets{0}, texts;
  };
  std::vector<Piece> pieces, longs;
  std::size_t left = 0, share = 0;
  for (std::size_t i = 0; i < texts.size(); ++i)
    if (run[i] && tokens[i].size() <= Transformer::window) left += tokens[i].size();
  const std::size_t least = left <= Transformer::window ? Transformer::window : 128;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!run[i]) continue;
    const std::size_t n = tokens[i].size();
    const bool is_long = n > Transformer::window;
    if (is_long) {
      longs.emplace_back();
    } else {
      if (pieces.empty() || pieces.back().ids.size() + n > share) {
        pieces.emplace_back();
        share = std::clamp(left / executor.threads, least, m.transformer.batch_tokens());
      }
      left -= n;
    }
    Piece& piece = is_long ? longs.back() : pieces.back();
    piece.ids.insert(piece.ids.end(), tokens[i].begin(), tokens[i].end());
    piece.offsets.push_back(piece.ids.size());
    piece.texts.push_back(i);
  }
  pieces.insert(pieces.begin(), std::make_move_iterator(longs.begin()), std::make_move_iterator(longs.end()));

  // One batch: its stages are spread over the threads. More: a batch a thread.
  const Executor alone;
  const bool spread = pieces.size() == 1 && executor.threads > 1 && pieces[0].ids.size() >= 8;
  const auto work = [&](const Piece& piece, const Executor& inner) {
    std::unique_ptr<Workspace> w = m.borrow(piece.texts.size() == 1 && piece.ids.size() > Transformer::window, inner.threads);
    const math::View<const float> states = m.transformer.run({piece.ids, piece.offsets}, *w, inner);
    for (std::size_t j = 0; j < piece.texts.size(); ++j)
      m.pool({states.data + piece.offsets[j] * states.stride, piece.offsets[j + 1] - piece.offsets[j], states.columns, states.stride}, out.row(piece.texts[j]));
    m.give_back(std::move(w));
  };
  if (spread) work(pieces[0], executor);
  else executor.each(pieces.size(), [&](std::size_t i, std::size_t) { work(pieces[i], alone); });
  for (const auto& [to, from] : copies) std::ranges::copy(out.row(from), out.row(to).begin());
  for (const auto& [hash, i] : first) m.cache.put(hash, tokens[i], out.row(i));
  return out;
}

Matrix Encoder::token_states(std::string_view text) const {
  const Model& m = *model_;
  const std::vector<TokenId> ids = m.tokenize(text);
  const std::size_t offsets[] = {0, ids.size()};
  std::unique_ptr<Workspace> w = m.borrow(ids.size() > Transformer::window, 1);
  const math::View<const float> states = m.transformer.run({ids, offsets}, *w, Executor());
  Matrix out(states.rows, states.columns);
  std::copy_n(states.data, out.values.size(), out.values.data());
  m.give_back(std::move(w));
  if (std::ranges::any_of(out.values, [](float v) { return !std::isfinite(v); })) {
    std::ranges::fill(out.values, 0.0F);
    m.warn();
  }
  return out;
}

std::size_t Encoder::dim() const { return model_->source.shape.hidden; }
std::size_t Encoder::max_tokens() const { return model_->source.max_tokens; }
Precision Encoder::precision() const { return model_->precision; }
const std::string& Encoder::name() const { return model_->name; }
const ModelId& Encoder::model_id() const { return model_->id; }
Encoder::CacheStats Encoder::cache_stats() const {
  const VectorCache::Stats s = model_->cache.stats();
  return {s.hits, s.misses, s.entries};
}
std::size_t Encoder::bytes() const { return model_->transformer.bytes(); }

}  // namespace weir
