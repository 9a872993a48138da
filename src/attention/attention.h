// Attention, every form behind one interface: queries look at keys, and take a mixture of values.
//
//   Settings settings{.form = Form::multi_head, .heads = 4, .model = 64};
//   auto parameters = TRY(initialise<float>(settings, 1));
//   auto seen = TRY(forward<float>(settings, parameters, {.q = x, .k = x, .v = x}, {.weights = true}));
//   auto gradients = TRY(backward<float>(settings, parameters, {.q = x, .k = x, .v = x}, seen, d_out));
//
// T is float or double; float runs on the CPU row that math/cpu.h chooses, double on plain code (it is the judge in tests). Everything is plain data,
// owned by who holds it; inputs are borrowed for the call alone. No function here makes a thread (heads and blocks of queries go to the caller's
// Executor; results do not depend on it), keeps state between calls, or reads a clock: any thread may call any of them.
//
// Errors, in every function: invalid, with what was expected and what was found: sizes that do not fit, an option that the form does not have, an Executor
// of no thread or of more than 4,096, a value that is NaN or infinite: in q, in keys and values that Mask::keys does not hide, in the bias of a pair that may
// be seen, in a parameter, or in an outcome (nothing non-finite is ever returned as a success). What Mask::keys hides is never read. too_large: memory for the
// outcome could not be had. In float also invalid, at WEIR_CPU: it names a CPU row that is none or cannot run here.
// No keys at all (Tk = 0) and a row whose keys are all masked give zeros, in outputs, weights and gradients (in multi_head: before wo, which adds its bias;
// in fastformer: only where the position itself is masked); Tq = 0 gives an empty output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "math/view.h"

namespace weir::attention {

using math::View;

// rows × columns, row-major, contiguous.
template <class T>
struct Array {
  std::size_t rows = 0, columns = 0;
  std::vector<T> values;

  Array() = default;
  Array(std::size_t r, std::size_t c) : rows(r), columns(c), values(r * c) {}
  std::span<T> row(std::size_t i) { return {values.data() + i * columns, columns}; }
  std::span<const T> row(std::size_t i) const { return {values.data() + i * columns, columns}; }
  operator View<T>() { return {values.data(), rows, columns}; }
  operator View<const T>() const { return {values.data(), rows, columns}; }
};

// Cost of forward, a head, in multiply-adds (backward: some two and a half times that); d, dv: columns of keys and values; h: Settings::hidden.
enum class Form : std::uint8_t {
  // softmax(q·kᵀ/√d)·v, heads side by side; MQA and GQA by kv_heads. Pairs seen · (d + dv).
  // Vaswani 2017 (arXiv:1706.03762), Shazeer 2019 (arXiv:1911.02150), Ainslie 2023 (arXiv:2305.13245)
  dot_product,
  // The same between linear layers: parameters wq wk wv wo and their biases, as torch's nn.MultiheadAttention. And 4·T·model² for all heads.
  multi_head,
  // softmax(X·a)·X with a learned query a; no q of the caller's. Tk·(d + dv). Yang 2016 (aclanthology N16-1174), without its hidden layer
  dot_pooling,
  // vᵀ·tanh(W·k + U·q + b). Tk·d·h, and Tq·Tk·(h tanh + dv). Bahdanau 2014 (arXiv:1409.0473)
  additive,
  // A = softmax(W₂·tanh(W₁·Xᵀ)), one row a head. Tk·d·h for all heads, and Tk·(h + dv) each. Lin 2017 (arXiv:1703.03130)
  multi_head_pooling,
  // A reader's history seen from a candidate: the logits come from [k, q, k∘q, k−q] through a layer. Tq·Tk·(d·h + dv). Zhou 2018 (arXiv:1706.06978)
  candidate_pooling,
  // One global query, one global key. 4·T·d, and T·model² for all heads. Wu 2021 (arXiv:2108.09084)
  fastformer,
  // φ(q)ᵀ·S / φ(q)ᵀ·z with φ = elu + 1; with decay it forgets. (Tq + Tk)·d·dv. Katharopoulos 2020 (arXiv:2006.16236), Sun 2023 (arXiv:2307.08621)
  linear,
  // FAVOR+: positive orthogonal random features, unbiased for softmax. (Tq + Tk)·features·(d + dv). Choromanski 2020 (arXiv:2009.14794)
  performer,
  // dot_product with −(t−tᵢ)/τ + log wᵢ on its logits, its temperature held so that exp(entropy) follows a target: with one, some ten exp a pair more.
  time_decayed,
};

// How logits become weights. All but softmax are for the forms that compute a matrix of logits.
enum class Normaliser : std::uint8_t {
  softmax,
  sparsemax,  // Martins & Astudillo 2016 (arXiv:1602.02068)
  entmax15,   // Peters 2019 (arXiv:1905.05702), exact by sorting
  top_k,      // softmax over the k greatest; ties by the lower index. Gupta 2021 (arXiv:2106.06899)
  sigmoid,    // each key on its own: rows do not sum to 1. Ramapuram 2024 (arXiv:2409.04431)
};

enum class Position : std::uint8_t {
  none,
  alibi,  // −2^(−8h/H)·|i−j| on the logits. Press 2021 (arXiv:2108.12409)
  rope,   // q and k turned by their positions, pairs (x₂ₖ, x₂ₖ₊₁); head size even. Su 2021 (arXiv:2104.09864)
};

// What may be seen. All that is set holds at once. Positions: query i is at i, key j at j (causal is aligned at the top left, as torch's is_causal).
struct Mask {
  bool causal = false;                 // key j ≤ query i
  std::size_t window = 0;              // |i − j| ≤ window; 0: no limit. Longformer 2020 (arXiv:2004.05150)
  std::size_t globals = 0;             // the first so many keys are seen by all, and their queries see all, whatever `window` and `block` say
  std::size_t block = 0;               // only keys of the same block of so many positions; 0: no blocks. Qiu 2019 (arXiv:1911.02972)
  std::span<const std::uint8_t> keys;  // [Tk], 1 = is there, 0 = padding; empty: all. (torch's key_padding_mask says the opposite.)
  View<const std::uint8_t> pairs{};    // [Tq × Tk], 1 = may be seen (as torch's SDPA mask says; MultiheadAttention's attn_mask says the opposite)
};

struct Settings {
  Form form = Form::dot_product;
  Normaliser normaliser = Normaliser::softmax;
  Position position = Position::none;
  std::size_t heads = 1;
  std::size_t kv_heads = 0;   // 0: as heads; must divide heads (1: MQA)
  std::size_t model = 0;      // columns of q, k, v and out in multi_head; in other forms with parameters, of k (and v when it is not given)
  std::size_t query = 0;      // columns of q in additive and candidate_pooling; 0: as model
  std::size_t hidden = 0;     // the layer inside additive, multi_head_pooling, candidate_pooling; 0: as model
  std::size_t features = 0;   // performer: random features a head; 0: 4·d
  std::size_t top_k = 8;      // Normaliser::top_k
  double scale = 0;           // of scores; 0: 1/√d where the form has it, 1 in the pooling forms
  double temperature = 1;     // > 0: logit = (scale · score + position + bias) / temperature
  double decay = 1;           // linear: γ a step of position, 0 < γ ≤ 1. Below 1 it needs a causal mask
  double tau = 0;             // time_decayed: seconds to 1/e; 0: no decay
  double effective_keys = 0;  // time_decayed: the target of exp(entropy) over every row, 1…Tk; 0: keep `temperature`
};

template <class T>
struct Parameter {
  std::string name;  // "wq", "wo.bias", …: the form's file lists them
  Array<T> value;
};
template <class T>
using Parameters = std::vector<Parameter<T>>;

// Shapes by form: dot_product, linear, performer, time_decayed: q [Tq × heads·d], k [Tk × kv_heads·d], v [Tk × kv_heads·dv].
// multi_head: [T × model] each. additive, candidate_pooling: q [Tq × query], k [Tk × model], v [Tk × dv]. fastformer: q, k, v [T × heads·d].
// dot_pooling, multi_head_pooling: k [Tk × model], no q. An empty v (rows = 0, data = null) stands for k in the pooling forms and in additive.
template <class T>
struct Input {
  View<const T> q{}, k{}, v{};
  Mask mask{};
  View<const T> bias{};             // [Tq × Tk], on the logits of every head; empty: none. Not in fastformer, linear, performer
  std::span<const T> age{};         // time_decayed: t − tᵢ of every key in seconds, ≥ 0
  std::span<const T> importance{};  // time_decayed: wᵢ > 0 of every key; empty: 1
};

struct Want {
  bool weights = false;  // Output::weights, also in the forms that need none to compute (linear and performer: their implied weights)
};

template <class T>
struct Output {
  Array<T> out;                // [Tq × heads·dv]; multi_head [Tq × model]; dot_pooling [1 × dv]; multi_head_pooling [heads × dv]
  Array<T> weights;            // [heads·Tq × Tk], head by head, when wanted
  std::vector<T> log_sum_exp;  // [heads·Tq], of the logits, what merge() goes by; −inf for a row with no key. Empty in fastformer, linear, performer, in
                               // multi_head (its outcomes went through wo) and with a normaliser other than softmax
  std::vector<T> temperature;  // time_decayed with a target: [heads·Tq], what was chosen
};

// Zero where a key is masked. As long as what it is the gradient of; empty where the input was.
template <class T>
struct Gradients {
  Array<T> q, k, v, bias;
  Parameters<T> parameters;
  std::vector<T> age, importance;  // time_decayed
  T tau = 0, temperature = 0;      // time_decayed; with a target `temperature` is not the caller's: 0 here, and the others follow what is chosen
};

// Parameters of the form's shapes, drawn Glorot-uniform from the seed, biases zero. Empty for the forms that have none. Cost: a random number a value;
// performer's omega: features · d².
template <class T>
Result<Parameters<T>> initialise(const Settings& settings, std::uint64_t seed);

// Cost: nanoseconds and bytes of every form are in docs/attention.md and printed by `weir bench attention`. dot_product and multi_head in float walk long
// keys in tiles with an online softmax (Milakov & Gimelshein 2018, arXiv:1805.02867; Dao 2022, arXiv:2205.14135): scratch is a tile a thread, beside keys and
// values in the order of the kernels. Other normalisers and the other forms with logits hold at most 128 rows of Tk weights a thread. Never Tq × Tk,
// unless weights are wanted.
template <class T>
Result<Output<T>> forward(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input, const Want& want = {},
                          const Executor& executor = {});

// d_out: [as out], the gradient of some number by `out`. `output` is what forward gave for the same settings, parameters and input.
template <class T>
Result<Gradients<T>> backward(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input, const Output<T>& output, View<const T> d_out,
                              const Executor& executor = {});

// Why out row `query` of `head` points the way it does along `direction` [dv] (multi_head: [model], through wo). Exact, for the forms whose output is a
// mixture of values (all but fastformer). Cost: forward with weights, of all heads and queries, and Tk·dv; where `without` has no closed form, or a key has
// nearly all the weight, one more forward for each key that has weight.
template <class T>
struct Explanation {
  std::vector<T> weight;   // [Tk]
  std::vector<T> part;     // [Tk]: what key j brings to ⟨out, direction⟩: weightⱼ·⟨vⱼ, direction⟩
  T constant = 0;          // what no key brings: the bias of wo. constant + Σ part = value, ≤ 1e-5 relative: checked, else Code::internal
  T value = 0;             // ⟨out, direction⟩ of this head
  std::vector<T> without;  // [Tk]: the value had key j been masked: exact in the softmax and sigmoid forms in closed form, else computed anew
};
template <class T>
Result<Explanation<T>> explain(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input, std::size_t query, std::size_t head,
                               std::span<const T> direction);

// Two outputs over two disjoint sets of keys become the output over both (same queries, softmax forms without parameters): m, l, acc merged by their
// log_sum_exp. Weights are rescaled and put side by side when both have them. Cost: a pass over both. Outputs with another normaliser, of multi_head or with
// a target of entropy do not merge: invalid.
template <class T>
Result<Output<T>> merge(const Output<T>& a, const Output<T>& b, std::size_t heads);

// Attention over a stream: keys come one after the other, and any query may be asked at any time. Forms with a state of fixed size: linear, performer
// (kv state of features × dv a head), dot_pooling and multi_head_pooling (m, l, acc), additive and candidate_pooling for a fixed query set at start,
// time_decayed for a fixed query and without effective_keys. dot_product and multi_head, with `window` ≥ 1 and causal, keep the last window + 1 keys.
// Normalisers other than softmax: dot_product and multi_head only. fastformer has no stream: its global key changes with every query. Others: Code::invalid.
// Equal to forward()'s last row (query and last key at the same position) over all keys so far, to rounding. One Stream belongs to one thread at a time.
// Cost of a push at d = dv = 64: ≤ 5 µs. Of ask: heads · dv where the query is fixed, features · dv a head in linear and performer, window · (d + dv) a
// head in dot_product and multi_head, whose layers of model² come on top in both. start_stream copies the parameters.
// A Stream may be copied, moved, kept and brought back; one that was not started, or whose settings or sizes are not those it was started with: invalid.
template <class T>
struct Stream {
  Settings settings;
  Parameters<T> parameters;
  std::size_t key_columns = 0, value_columns = 0;
  std::size_t window = 0;   // dot_product and multi_head
  std::size_t seen = 0;     // keys so far, counted by push()
  std::uint64_t shape = 0;  // start_stream()'s: what settings and sizes belong together
  Array<T> state;           // the form's own
  Array<T> keys, values;    // sliding window only: a ring
  Array<T> query;           // forms with a fixed query
};
template <class T>
Result<Stream<T>> start_stream(const Settings& settings, const Parameters<T>& parameters, std::size_t key_columns, std::size_t value_columns,
                               View<const T> fixed_query = {}, std::size_t window = 0);
// k, v: one row each. `dt`: seconds since the last push (time_decayed). importance: time_decayed.
template <class T>
Status push(Stream<T>& stream, std::span<const T> k, std::span<const T> v, T dt = 0, T importance = 1);
// The output for query q [one row; empty with a fixed query] over all that was pushed: one row of forward()'s out.
template <class T>
Result<std::vector<T>> ask(const Stream<T>& stream, std::span<const T> q);

std::string_view to_string(Form form);
std::string_view to_string(Normaliser normaliser);

// What holds for a form: docs/attention.md prints this table, and every property test walks it.
struct FormRow {
  Form form;
  std::string_view name, paper;
  bool heads;      // Settings::heads > 1 is allowed
  bool has_query;  // the caller gives q
  bool has_parameters;
  bool logits;       // a matrix of logits: masks of pairs, window, globals, block, bias, temperature, every normaliser
  bool position;     // ALiBi and RoPE are allowed
  bool mixture;      // out is a mixture of values: row sums, convex hull, constant values, explain()
  bool causal;       // Mask::causal is allowed
  bool streams;      // start_stream()
  bool linear_cost;  // in Tk, without a Tq × Tk product
};
std::span<const FormRow> forms();

}  // namespace weir::attention
