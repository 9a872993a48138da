#include "encode/transformer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "encode/workspace.h"

namespace weir {
namespace {

using math::Activations;
using math::Epilogue;
using math::Format;
using math::Packed;
using math::View;

constexpr std::size_t row_block = 64;                              // rows that go through the feed-forward together
constexpr std::size_t few = 64;                                    // rows that are spread over threads by weights instead
constexpr std::size_t scratch_limit = (2U << 20U) - (64U << 10U);  // bytes a thread; what is left of 2 MB is for scales and allocations
constexpr std::size_t panel = Packed::panel_outputs;
// No trained weight comes near it, and below it nothing that the layers compute leaves the range of a float (8,192 wide, 65,536 inside: scores ≤ 4e37).
constexpr float weight_limit = 1e6F;

// Reads tensors by role and checks their shapes.
class Names {
 public:
  Names(const ModelSource& source, const Architecture& architecture) : source_(source), architecture_(architecture) {}

  Result<Tensor> weight(std::string_view role, std::size_t layer, std::size_t rows, std::size_t columns) const {
    return find(name(role, layer, architecture_.weight), rows, columns);
  }
  Result<Tensor> table(std::string_view whole_name, std::size_t rows, std::size_t columns) const { return find(std::string(whole_name), rows, columns); }
  Result<std::vector<float>> vector(std::string_view role, std::size_t layer, std::string_view suffix, std::size_t n) const {
    const std::string full = name(role, layer, suffix);
    const Tensor t = TRY(find(full, 1, n));
    std::vector<float> out(n);
    t.row(0, out.data());
    TRY(sound(out, full));
    return out;
  }
  Result<std::vector<float>> bias(std::string_view role, std::size_t layer, std::size_t n) const { return vector(role, layer, architecture_.bias, n); }
  Result<std::vector<float>> scale(std::string_view role, std::size_t layer, std::size_t n) const { return vector(role, layer, architecture_.weight, n); }

  std::string name(std::string_view role, std::size_t layer, std::string_view suffix) const {
    std::string out(role);
    if (const std::size_t at = out.find("{}"); at != std::string::npos) out.replace(at, 2, std::to_string(layer));
    return out + std::string(suffix);
  }
  Status sound(std::span<const float> values, std::string_view tensor) const {
    for (const float v : values)
      if (!(std::fabs(v) <= weight_limit))
        return fail(Code::corrupt, fmt::format("expected weights of at most {:.0e}, found {}", weight_limit, v),
                    fmt::format("{}: {}", source_.weights.string(), tensor));
    return {};
  }
  // The file has no layer beyond the last.
  Status ends_with(std::string_view role, std::size_t layers) const {
    const std::string next = name(role, layers, architecture_.weight);
    if (at(next) == nullptr) return {};
    return fail(Code::corrupt, fmt::format("expected {} layers, found one more", layers), fmt::format("{}: {}", source_.weights.string(), next));
  }

 private:
  const Tensor* at(const std::string& full) const {
    for (const std::string_view prefix : {"", "bert.", "distilbert.", "model."})
      if (const auto found = source_.tensors.find(std::string(prefix) + full); found != source_.tensors.end()) return &found->second;
    return nullptr;
  }
  Result<Tensor> find(const std::string& full, std::size_t rows, std::size_t columns) const {
    const auto wrong = [&](std::string found) {
      return fail(Code::corrupt, fmt::format("expected [{} × {}] of weights, found {}", rows, columns, found),
                  fmt::format("{}: {}", source_.weights.string(), full));
    };
    const Tensor* t = at(full);
    if (t == nullptr) return wrong("no such tensor");
    if (t->kind == Tensor::Kind::other) return wrong(std::string(t->found));
    if (t->rows != rows || t->columns != columns) return wrong(fmt::format("[{} × {}]", t->rows, t->columns));
    return *t;
  }
  const ModelSource& source_;
  const Architecture& architecture_;
};

struct Part {
  Tensor tensor;
  std::string name;
  float factor = 1;
};

// Multiplies what goes in, so that the product of both stays the same; empty: nothing.
const float* or_null(const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); }

// Matrices of equal width, one below the other.
Result<Packed> pack(const Names& names, std::span<const Part> parts, Format format, const float* smooth = nullptr) {
  std::size_t outputs = 0;
  const std::size_t inputs = parts[0].tensor.columns;
  for (const Part& p : parts) outputs += p.tensor.rows;
  std::vector<float> row(inputs);
  const Part* part = parts.data();
  std::size_t first = 0;
  const Part* wrong = nullptr;
  float worst = 0;
  Packed packed = Packed::from(outputs, inputs, format, [&](std::size_t o) {
    if (o - first == part->tensor.rows) {
      first = o;
      ++part;
    }
    part->tensor.row(o - first, row.data());
    for (std::size_t i = 0; i < inputs; ++i) {
      if (!(std::fabs(row[i]) <= weight_limit)) {
        wrong = part;
        worst = row[i];
        row[i] = 0;
      }
      row[i] *= part->factor;
      if (smooth != nullptr) row[i] /= smooth[i];
    }
    return row.data();
  });
  if (wrong != nullptr) TRY(names.sound({&worst, 1}, wrong->name));
  return packed;
}

void note(View<const float> x, std::vector<float>& greatest) {
  for (std::size_t r = 0; r < x.rows; ++r)
    for (std::size_t i = 0; i < x.columns; ++i) greatest[i] = std::max(greatest[i], std::fabs(x(r, i)));
}

std::size_t head_size(const Shape& s) { return s.hidden / s.heads; }

}  // namespace

Result<Transformer> Transformer::build(const ModelSource& source, const Options& options) {
  const Architecture* a = find_architecture(source.architecture);
  CHECK(a != nullptr && options.kernels != nullptr);
  const Names names(source, *a);
  Transformer t;
  const Shape& s = t.shape_ = source.shape;
  t.options_ = options;
  t.word_ = TRY(RowFile::open(source.weights, source.file.bytes(), TRY(names.table(a->word, s.vocabulary, s.hidden))));
  const Tensor positions = TRY(names.table(a->position, s.positions, s.hidden));
  t.position_.resize(s.positions * s.hidden);
  for (std::size_t i = 0; i < s.positions; ++i) positions.row(i, t.position_.data() + i * s.hidden);
  if (s.types > 0 && !a->type.empty()) {
    std::vector<float> type(s.hidden);
    TRY(names.table(a->type, s.types, s.hidden)).row(0, type.data());
    for (std::size_t i = 0; i < t.position_.size(); ++i) t.position_[i] += type[i % s.hidden];
  }
  TRY(names.sound(t.position_, a->position));
  t.norm_scale_ = TRY(names.scale(a->norm, 0, s.hidden));
  t.norm_shift_ = TRY(names.bias(a->norm, 0, s.hidden));
  TRY(names.ends_with(a->query, s.layers));
  t.layers_.resize(s.layers);
  for (std::size_t l = 0; l < s.layers; ++l) {
    TRY(t.pack_layer(source, l));
    Layer& layer = t.layers_[l];
    layer.out_scale = TRY(names.scale(a->out_norm, l, s.hidden));
    layer.out_shift = TRY(names.bias(a->out_norm, l, s.hidden));
    layer.down_scale = TRY(names.scale(a->down_norm, l, s.hidden));
    layer.down_shift = TRY(names.bias(a->down_norm, l, s.hidden));
  }
  if (options.format == Format::int8 && !options.samples.empty()) {
    t.smooth(options.samples);
    for (std::size_t l = 0; l < s.layers; ++l) TRY(t.pack_layer(source, l));
  }
  t.options_.samples = {};
  return t;
}

// The layer's matrices and their biases; the second time, with smoothing, only those that it touches.
Status Transformer::pack_layer(const ModelSource& source, std::size_t l) {
  const Architecture& a = *find_architecture(source.architecture);
  const Names names(source, a);
  const Shape& s = shape_;
  Layer& layer = layers_[l];
  // Scores come out in powers of two: q is scaled by log₂(e) / √head here, once.
  const auto query_factor = static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(head_size(s))));
  const auto part = [&](std::string_view role, std::size_t rows, std::size_t columns, float factor = 1) -> Result<Part> {
    return Part{TRY(names.weight(role, l, rows, columns)), names.name(role, l, a.weight), factor};
  };
  const Part qkv[] = {TRY(part(a.query, s.hidden, s.hidden, query_factor)), TRY(part(a.key, s.hidden, s.hidden)), TRY(part(a.value, s.hidden, s.hidden))};
  layer.qkv = TRY(pack(names, qkv, options_.format, or_null(layer.smooth.qkv)));
  const Part up = TRY(part(a.up, s.inner, s.hidden));
  layer.up = TRY(pack(names, {&up, 1}, options_.format, or_null(layer.smooth.up)));
  if (!layer.qkv_bias.empty()) return {};
  const Part out = TRY(part(a.out, s.hidden, s.hidden)), down = TRY(part(a.down, s.hidden, s.inner));
  layer.out = TRY(pack(names, {&out, 1}, options_.format));
  layer.down = TRY(pack(names, {&down, 1}, options_.format));
  layer.qkv_bias = TRY(names.bias(a.query, l, s.hidden));
  for (float& v : layer.qkv_bias) v *= query_factor;
  for (const std::string_view role : {a.key, a.value}) {
    const std::vector<float> bias = TRY(names.bias(role, l, s.hidden));
    layer.qkv_bias.insert(layer.qkv_bias.end(), bias.begin(), bias.end());
  }
  layer.out_bias = TRY(names.bias(a.out, l, s.hidden));
  layer.up_bias = TRY(names.bias(a.up, l, s.inner));
  layer.down_bias = TRY(names.bias(a.down, l, s.hidden));
  return {};
}

// A few channels of a layer norm's output are far greater than the rest and would take the 8-bit scale for themselves. Each channel is divided by
// √(greatest activation / greatest weight), its weights multiplied by it (Xiao 2023, arXiv:2211.10438, α = ½). How great the activations get is seen by
// running the samples once, in the portable kernels: the same on every CPU row.
void Transformer::smooth(std::span<const std::vector<TokenId>> samples) {
  std::vector<TokenId> ids;
  std::vector<std::size_t> offsets{0};
  for (const auto& sample : samples) {
    ids.insert(ids.end(), sample.begin(), sample.end());
    offsets.push_back(ids.size());
  }
  const std::unique_ptr<Workspace> w = make_workspace(ids.size(), ids.size(), 1);
  std::vector<Workspace::Seen> seen(shape_.layers, {std::vector<float>(shape_.hidden), std::vector<float>(shape_.hidden)});
  w->seen = &seen;
  const bool portable = std::exchange(options_.portable, true);
  run({ids, offsets}, *w, Executor());
  options_.portable = portable;
  const auto factors = [](const std::vector<float>& activations, const Packed& weights) {
    std::vector<float> greatest = weights.greatest_by_input(), out(activations.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::sqrt(std::max(greatest[i], 1e-5F) / std::max(activations[i], 1e-5F));
    return out;
  };
  for (std::size_t l = 0; l < shape_.layers; ++l) {
    layers_[l].smooth.qkv = factors(seen[l].qkv, layers_[l].qkv);
    layers_[l].smooth.up = factors(seen[l].up, layers_[l].up);
  }
}

std::size_t Transformer::bytes() const {
  std::size_t n = position_.size() * 4;
  for (const Layer& l : layers_) n += l.qkv.size_bytes() + l.out.size_bytes() + l.up.size_bytes() + l.down.size_bytes();
  return n;
}

std::size_t Transformer::batch_tokens() const {
  const std::size_t hidden = shape_.hidden, residual = hidden * sizeof(float);
  const std::size_t of_window = window * (residual + hidden * math::bytes_of(options_.format) + 3 * head_size(shape_) * sizeof(float)) +
                                math::attention_scratch(window, head_size(shape_)) * sizeof(float);
  return std::max(window, (std::max(scratch_limit, of_window) - of_window) / residual / 32 * 32);
}

std::unique_ptr<Workspace> Transformer::make_workspace(std::size_t tokens, std::size_t longest, std::size_t workers) const {
  auto w = std::make_unique<Workspace>();
  const Shape& s = shape_;
  const Packed& up = layers_[0].up;
  const Packed& down = layers_[0].down;
  const auto whole = [](std::size_t n) { return (n + 31) / 32 * 32; };
  w->tokens = whole(tokens);
  w->window = std::min(w->tokens, whole(std::max(longest, window)));
  w->is_long = w->window > window;
  w->x = Buffer<float>(w->tokens * s.hidden);
  w->y = Buffer<float>(w->window * s.hidden);
  if (!w->is_long) w->rows = ActivationBuffer(options_.format, w->window, s.hidden, up.groups());
  if (workers > 1) w->parts = Buffer<float>(down.groups() * few * s.hidden);
  const std::size_t block = std::min(row_block, w->window), inner_bytes = ActivationBuffer::bytes_of(options_.format, block, down.group());
  for (std::size_t i = 0; i < workers; ++i) {
    Workspace::Worker& mine = w->workers.emplace_back();
    mine.head = Buffer<float>(std::max(w->window * 3 * head_size(s), block * down.group()));
    mine.scratch = Buffer<float>(std::max(math::attention_scratch(w->window, head_size(s)), inner_bytes / sizeof(float)));
    mine.inner_rows = ActivationBuffer(options_.format, block, down.group(), 1, reinterpret_cast<std::byte*>(mine.scratch.get()));
    if (w->is_long) mine.block = ActivationBuffer(options_.format, block, s.hidden, up.groups());
  }
  return w;
}

void Transformer::embed(const Batch& batch, Workspace& w) const {
  const std::size_t hidden = shape_.hidden;
  const Tensor::Kind kind = word_.tensor().kind;
  std::vector<float> word(hidden);
  std::vector<std::byte> raw(word_.tensor().row_bytes());
  Tensor row = word_.tensor();
  row.data = raw.data();
  for (std::size_t text = 0; text + 1 < batch.offsets.size(); ++text)
    for (std::size_t t = batch.offsets[text]; t < batch.offsets[text + 1]; ++t) {
      float* x = w.x.get() + t * hidden;
      std::copy_n(position_.data() + (shape_.first_position + t - batch.offsets[text]) * hidden, hidden, x);
      word_.raw(batch.ids[t], raw.data());
      if (kind == Tensor::Kind::q4) {
        options_.kernels->add_q4(x, raw.data(), hidden);
      } else {
        row.row(0, word.data());
        options_.kernels->add(x, word.data(), hidden);
      }
    }
  const View<float> x(w.x.get(), batch.ids.size(), hidden);
  options_.kernels->layer_norm(x, norm_scale_.data(), norm_shift_.data(), shape_.epsilon, nullptr, nullptr, 0);
}

void Transformer::heads(const Layer& layer, std::span<const std::size_t> offsets, Workspace& w, const Executor& executor) const {
  const std::size_t head = head_size(shape_), hidden = shape_.hidden, begin = offsets.front(), tokens = offsets.back() - begin;
  const math::Kernels& kernels = *options_.kernels;
  const auto attention = options_.portable || options_.format == Format::f32 ? kernels.attention : kernels.attention_fast;
  const auto quantise = [&](std::size_t first, std::size_t n, const Activations& to) {
    kernels.quantise(View<const float>(w.x.get() + (begin + first) * hidden, n, hidden), or_null(layer.smooth.qkv), to, 0);
  };
  if (!w.is_long) quantise(0, tokens, w.rows.view());
  executor.each(shape_.heads, [&](std::size_t h, std::size_t worker) {
    const Workspace::Worker& mine = w.workers[worker];
    float* qkv = mine.head.get();
    const Activations& rows = w.is_long ? mine.block.view() : w.rows.view();
    const std::size_t block = w.is_long ? row_block : tokens;
    for (std::size_t first = 0; first < tokens; first += block) {
      const std::size_t n = std::min(block, tokens - first);
      if (w.is_long) quantise(first, n, rows);
      for (std::size_t part = 0; part < 3; ++part)
        kernels.product({.a = rows,
                         .rows = n,
                         .w = &layer.qkv,
                         .panel = (part * hidden + h * head) / panel,
                         .panels = head / panel,
                         .groups = layer.qkv.groups(),
                         .bias = layer.qkv_bias.data(),
                         .out = qkv + first * 3 * head + part * head,
                         .out_stride = 3 * head,
                         .columns = head});
    }
    for (std::size_t text = 0; text + 1 < offsets.size(); ++text) {
      const std::size_t first = offsets[text] - begin;
      const float* q = qkv + first * 3 * head;
      attention({.q = q,
                 .k = q + head,
                 .v = q + 2 * head,
                 .n = offsets[text + 1] - begin - first,
                 .head = head,
                 .stride = 3 * head,
                 .out = w.y.get() + first * hidden + h * head,
                 .out_stride = hidden,
                 .scratch = mine.scratch.get()});
    }
  });
}

// Group g of the feed-forward's hidden columns, of rows [first, first + n): they exist a group at a time. `out`: what the group adds.
void Transformer::feed_forward(const Layer& layer, std::size_t g, std::size_t first, std::size_t n, Workspace& w, std::size_t worker, float* out,
                               Epilogue epilogue) const {
  const Workspace::Worker& mine = w.workers[worker];
  const std::size_t group = layer.down.group();
  const View<float> inner(mine.head.get(), n, group);
  options_.kernels->product({.a = w.is_long ? mine.block.view() : w.rows.view(),
                             .row = w.is_long ? 0 : first,
                             .rows = n,
                             .w = &layer.up,
                             .panel = g * group / panel,
                             .panels = group / panel,
                             .groups = layer.up.groups(),
                             .bias = layer.up_bias.data(),
                             .out = inner.data,
                             .out_stride = group,
                             .columns = group,
                             .epilogue = Epilogue::gelu});
  options_.kernels->quantise(inner, nullptr, mine.inner_rows.view(), 0);
  options_.kernels->product({.a = mine.inner_rows.view(),
                             .rows = n,
                             .w = &layer.down,
                             .panels = layer.down.panels(),
                             .group = g,
                             .bias = g == 0 ? layer.down_bias.data() : nullptr,
                             .out = out,
                             .out_stride = shape_.hidden,
                             .columns = shape_.hidden,
                             .epilogue = epilogue});
}

// The rows stage of a few rows on several threads: what is split is the weights. Sums are made in the order of rows(): the same bits.
void Transformer::few_rows(std::size_t index, View<float> x, Workspace& w, const Executor& executor) const {
  const Layer& layer = layers_[index];
  const std::size_t n = x.rows, hidden = shape_.hidden;
  const math::Kernels& k = *options_.kernels;
  const Activations& to = w.rows.view();
  k.quantise(View<const float>(w.y.get(), n, hidden), nullptr, to, 0);
  const std::size_t panels = layer.out.panels(), share = (panels + executor.threads - 1) / executor.threads;
  executor.each((panels + share - 1) / share, [&](std::size_t i, std::size_t) {
    const std::size_t first = i * share, count = std::min(share, panels - first);
    k.product({.a = to,
               .rows = n,
               .w = &layer.out,
               .panel = first,
               .panels = count,
               .groups = layer.out.groups(),
               .bias = layer.out_bias.data(),
               .out = x.data + first * panel,
               .out_stride = hidden,
               .columns = std::min(count * panel, hidden - first * panel),
               .epilogue = Epilogue::add});
  });
  k.layer_norm(x, layer.out_scale.data(), layer.out_shift.data(), shape_.epsilon, or_null(layer.smooth.up), &to, 0);
  executor.each(layer.down.groups(),
                [&](std::size_t g, std::size_t worker) { feed_forward(layer, g, 0, n, w, worker, w.parts.get() + g * few * hidden, Epilogue::store); });
  for (std::size_t g = 0; g < layer.down.groups(); ++g) k.add(x.data, w.parts.get() + g * few * hidden, n * hidden);
  k.layer_norm(x, layer.down_scale.data(), layer.down_shift.data(), shape_.epsilon, nullptr, nullptr, 0);
}

void Transformer::rows(std::size_t index, View<float> all, Workspace& w, const Executor& executor) const {
  if (executor.threads > 1 && all.rows <= few && !w.is_long) return few_rows(index, all, w, executor);
  const std::size_t hidden = shape_.hidden, block = std::min(row_block, std::max<std::size_t>(32, all.rows / executor.threads / 32 * 32));
  const Layer& layer = layers_[index];
  const math::Kernels& k = *options_.kernels;
  executor.each((all.rows + block - 1) / block, [&](std::size_t i, std::size_t worker) {
    const std::size_t first = i * block, n = std::min(block, all.rows - first);
    const Activations& to = w.is_long ? w.workers[worker].block.view() : w.rows.view();
    const std::size_t at = w.is_long ? 0 : first;
    const View<float> x(all.data + first * hidden, n, hidden);
    k.quantise(View<const float>(w.y.get() + first * hidden, n, hidden), nullptr, to, at);
    k.product({.a = to,
               .row = at,
               .rows = n,
               .w = &layer.out,
               .panels = layer.out.panels(),
               .groups = layer.out.groups(),
               .bias = layer.out_bias.data(),
               .out = x.data,
               .out_stride = hidden,
               .columns = hidden,
               .epilogue = Epilogue::add});
    k.layer_norm(x, layer.out_scale.data(), layer.out_shift.data(), shape_.epsilon, or_null(layer.smooth.up), &to, at);
    if (w.seen != nullptr) note(x, (*w.seen)[index].up);
    for (std::size_t g = 0; g < layer.down.groups(); ++g) feed_forward(layer, g, first, n, w, worker, x.data, Epilogue::add);
    k.layer_norm(x, layer.down_scale.data(), layer.down_shift.data(), shape_.epsilon, nullptr, nullptr, 0);
  });
}

View<const float> Transformer::run(const Batch& batch, Workspace& workspace, const Executor& executor) const {
  CHECK(batch.ids.size() <= workspace.tokens && executor.threads <= workspace.workers.size());
  embed(batch, workspace);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (workspace.seen != nullptr) note({workspace.x.get(), batch.ids.size(), shape_.hidden}, (*workspace.seen)[l].qkv);
    for (std::size_t text = 0, end = 0; text + 1 < batch.offsets.size(); text = end) {
      const std::size_t first = batch.offsets[text];
      for (end = text + 1; end + 1 < batch.offsets.size() && batch.offsets[end + 1] - first <= workspace.window;) ++end;
      CHECK(batch.offsets[end] - first <= workspace.window);
      heads(layers_[l], batch.offsets.subspan(text, end + 1 - text), workspace, executor);
      rows(l, {workspace.x.get() + first * shape_.hidden, batch.offsets[end] - first, shape_.hidden}, workspace, executor);
    }
  }
  return {workspace.x.get(), batch.ids.size(), shape_.hidden};
}

}  // namespace weir
